"""Files and folders that are there as a whole or not at all: everything that is kept is written through here.

Each is written beside its place, brought to the disk and renamed, so that a kill, a full disk or a loss of power leaves what
was there before. Errors of the system (OSError) pass: who asked for the file says what they mean.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from delt_host.store import tensor_file

if TYPE_CHECKING:
    from torch import Tensor

    from delt_host.store.tensor_file import Streamed

WRITING = ".writing-"
"""What the names of files and folders begin with while they are written; one that a killed process left means nothing."""

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # what some network file systems say to a folder's fsync


def write(place: Path, content: bytes | str, like: Path | None = None) -> None:
    """Write a file, text as UTF-8. OSError where that fails, and then what was there before is still there."""
    with writing(place, like) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_tensors(
    place: Path,
    tensors: Mapping[str, Tensor | Streamed],
    metadata: Mapping[str, str] | None = None,
    like: Path | None = None,
) -> None:
    """Write tensors as safetensors, straight from where they lie or as they come. OSError as `write`; ValueError as
    `tensor_file.write`."""
    with writing(place, like) as beside:
        save_tensors(beside, tensors, metadata)


def save_tensors(
    file: Path, tensors: Mapping[str, Tensor | Streamed], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors into a file that is being written; errors as `tensor_file.write`."""
    tensor_file.write(file, tensors, metadata)


def patch(file: Path, at: int, content: bytes) -> None:
    """Write over a part of a file that is being written. OSError."""
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


@contextmanager
def writing(place: Path, like: Path | None = None, first: bool = False) -> Iterator[Path]:
    """A path beside `place` to write to, which takes its place at the end, unless the block fails.

    Its mode, and that of folders made for it, is that of any new file under the umask, or with `like` that folder's own.
    `first`: FileExistsError where there is something in its place by then.
    """
    with _beside(place, place.parent, like) as beside:
        beside.touch(exist_ok=False)
        mode = stat.S_IMODE(beside.stat().st_mode) if like is None else _mode(like) & 0o666
        yield beside
        _set_mode(beside, mode)  # libraries make private ones
        sync(beside)
        if not (first and _link(beside, place)):
            beside.replace(place)


@contextmanager
def making_folder(place: Path, within: Path | None = None, like: Path | None = None) -> Iterator[Path]:
    """A new folder, `within` another or beside `place`, which takes its place at the end, unless the block fails.

    FileExistsError, or OSError of another kind by the system, where there is a folder with something in it by then.
    """
    with _beside(place, within or place.parent, like) as beside:
        _make(beside, like)
        yield beside
        sync(beside)
        beside.rename(place)


@contextmanager
def _beside(place: Path, within: Path, like: Path | None) -> Iterator[Path]:
    """A new name, of which nothing stays."""
    make_folders(place.parent, like)
    beside = within / f"{WRITING}{secrets.token_hex(8)}"
    try:
        yield beside
        sync(place.parent)
    finally:
        with suppress(OSError):
            remove(beside)


def _link(file: Path, place: Path) -> bool:
    """Give a file a second name, which a rename would take from another; False where the file system has no links."""
    try:
        place.hardlink_to(file)
    except FileExistsError:
        raise
    except OSError:
        return False
    return True


def is_free(place: Path) -> bool:
    """Whether nothing is there, or an empty folder: what a folder may be made in place of."""
    return not os.path.lexists(place) or (place.is_dir() and next(place.iterdir(), None) is None)


def make_folders(folder: Path, like: Path | None = None) -> None:
    """The folder and those above it, as far as they are missing; with the permissions of `like` where it is given."""
    if not folder.is_dir():
        make_folders(folder.parent, like)
        try:
            _make(folder, like)
        except FileExistsError:  # another process was faster
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def sync(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk, as far as the system can."""
    if path.is_dir() and os.name == "nt":
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if path.is_dir() and error.errno in _NOT_FOR_FOLDERS:
            return
        raise
    finally:
        os.close(descriptor)


def remove(place: Path) -> None:
    """A file, or a folder with what is in it; of a link the link. OSError."""
    if stat.S_ISDIR(place.lstat().st_mode):
        shutil.rmtree(place)
    else:
        place.unlink()


def _make(folder: Path, like: Path | None) -> None:
    folder.mkdir()
    if like is not None:
        _set_mode(folder, _mode(like))


def _set_mode(path: Path, mode: int) -> None:
    """Where it differs, and where the file system has modes."""
    if _mode(path) != mode:
        try:
            path.chmod(mode)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
                raise


def _mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)
