"""Tensors and facts in one safetensors file with a checksum: entries of the store, checkpoints, what lies in which file.

What is not as it was written is damaged; what cannot be read now may be whole, and is left as it is. Only what reads or writes
tensors needs torch.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from delt_host.basics.errors import RunError, reason
from delt_host.store import files
from delt_host.store.tensor_file import TensorFile

if TYPE_CHECKING:
    from torch import Tensor

    from delt_host.store.tensor_file import Streamed

FACTS, CHECKSUM = "facts", "sha256"
"""Of the file's own metadata. The checksum is that of the file with `BLANK` in its place."""
BLANK = "0" * 64
LARGE = 2**20
"""Bytes of a file whose checksum takes longer than a look at when it changed."""
_WHOLE: dict[Path, tuple[int, int, int]] = {}  # large files that were whole: number, size and time of change
_SAID = f'"{CHECKSUM}":"'.encode()  # within the facts, which are text, its quotes are escaped

_OTHER_CONTENT = (ValueError, KeyError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError)
_HINTS = {
    errno.EACCES: "whoever owns it can let others read it",
    errno.EPERM: "whoever owns it can let others read it",
    errno.EMFILE: "raise the limit on open files with ulimit -n",
    errno.ENFILE: "close other programs, too many files are open",
    errno.ENOMEM: "free memory",
}


class Damaged(Exception):
    """A file's content is not what was written."""


def write(
    place: Path,
    tensors: Mapping[str, Tensor | Streamed],
    facts: Mapping[str, Any],
    like: Path | None = None,
    first: bool = False,
) -> None:
    """Put it into its place, as `files.writing`. OSError; ValueError as `tensor_file.write`."""
    with files.writing(place, like, first) as beside:
        files.save_tensors(beside, tensors, {FACTS: json.dumps(facts), CHECKSUM: BLANK})
        with beside.open("rb") as file:
            checksum, _, at = _checksum(file)
        files.patch(beside, at, checksum.encode())


def read(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors, mapped into memory, and facts as they were written; errors as `reading`."""
    import safetensors.torch

    with reading(place):
        check(place)
        return safetensors.torch.load_file(place), facts(place)


def opened(place: Path) -> tuple[TensorFile, dict[str, Any]]:
    """The tensors, to be read by rows, and facts as they were written; errors as `reading`. RunError for rows of a file that is
    gone, or is another, since."""
    with reading(place):
        check(place)
        file = TensorFile(place, partial(_still, place))
        return file, dict(json.loads(file.metadata[FACTS]))


@contextmanager
def _still(place: Path) -> Iterator[None]:
    try:
        with reading(place):
            yield
    except (FileNotFoundError, Damaged) as error:
        what = "is gone" if isinstance(error, FileNotFoundError) else f"is not what it was ({error})"
        raise RunError(f"{place} {what} since it was made or found; the same command makes it anew") from None


def facts(place: Path) -> dict[str, Any]:
    """The facts alone, without a look at the checksum; errors as `reading`."""
    with reading(place):
        if not stat.S_ISREG(place.stat().st_mode):  # opening a pipe would wait
            raise ValueError("it is no file")
        with place.open("rb"), safetensors.safe_open(place, "numpy") as file:  # Python's errors have their numbers
            return dict(json.loads(file.metadata()[FACTS]))


def check(place: Path) -> None:
    """Whether it is whole: errors as `reading`. A large one that did not change is not gone through again in one process."""
    with reading(place):
        facts(place)
        found = place.stat()
        state = (found.st_ino, found.st_size, found.st_mtime_ns)
        if _WHOLE.get(place) == state:
            return
        with place.open("rb") as file:
            checksum, said, _ = _checksum(file)
        if checksum != said:
            raise ValueError("its checksum differs")
        if found.st_size >= LARGE:
            _WHOLE[place] = state


def _checksum(file: io.BufferedIOBase) -> tuple[str, str, int]:
    """The checksum of a file, the one that it says, and where it says so."""
    size = file.read(8)
    header = file.read(int.from_bytes(size, "little"))
    at = header.index(_SAID) + len(_SAID)
    end = at + len(BLANK)
    total = hashlib.sha256(size + header[:at] + BLANK.encode() + header[end:])
    hashlib.file_digest(file, lambda: total)
    return total.hexdigest(), header[at:end].decode(), len(size) + at


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """What is read inside is the file `place`. FileNotFoundError where it is not there; `Damaged` where its content is another;
    RunError where it cannot be read, which tells nothing of its content."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(place) from None
    except _OTHER_CONTENT as error:
        if "os error" in str(error):  # safetensors' words
            raise unread(place, OSError(str(error))) from None
        raise Damaged(str(error) or type(error).__name__) from None
    except (OSError, MemoryError) as error:
        raise unread(place, error) from None
    except RuntimeError as error:  # torch's, of a file that it cannot map, or that is gone since it was checked
        if not os.path.lexists(place):
            raise FileNotFoundError(place) from None
        raise unread(place, OSError(str(error))) from None


def unread(place: Path, error: OSError | MemoryError) -> RunError:
    """What to say of what cannot be read now."""
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno
    hint = _HINTS.get(number or 0, "try again when its disk answers")
    return RunError(
        f"{place} cannot be read: {reason(error)}; it is left as it is: {hint}, or use another store with --store PATH"
    )
