"""Published distilled sets, as folders or zip files of images in class folders: read member by member, never unpacked.

The released sets come in folders named by the class's number (``00000``, RDED and DELT; ``new000``, SRe2L), by WordNet
id, or by name. In which order a number counts is what users of such sets most often get wrong, so it is said.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from delt_host import InputError
from delt_plugins.datasets.decode import decode_exact
from delt_plugins.datasets.files import IN_MEMORY
from delt_plugins.datasets.reading import ReadingReport
from delt_plugins.datasets.walk import READ_SUFFIXES, PassedOver, hidden, is_image

MOST_MEMBERS = 2_000_000
OVERHEAD = 2**20  # bytes of a file beside its pixels: profiles, comments
NUMBER = re.compile(r"(?:new|class[_-]?)?(\d+)", re.IGNORECASE)
SHOWN, SHOWN_NAME = 3, 80
ENCRYPTED = 1  # the flag of a member


@dataclass(frozen=True)
class Member:
    """An image file of a release."""

    path: PurePosixPath
    read: Callable[[int], bytes]
    """At most so many bytes of it."""


@dataclass(frozen=True)
class Release:
    """A published set in the dataset's class order."""

    pixels: Tensor
    """(N, 3, S, S) uint8."""
    targets: Tensor
    """(N,) int64."""
    ipc: int
    order: str
    """How folders were taken to be classes: a sentence for the user."""
    sha256: str
    """Of the images' files, in order."""
    notes: tuple[str, ...]
    labels: Tensor | None = None
    """(N, C) float32 logits, where the images have one label each."""
    learning_rate: Tensor | None = None
    """() float32: the students', where it was learned."""


def read_release(
    path: Path, class_names: Sequence[str], size: int, folders: Sequence[str] = (), inside: str = ""
) -> Release:
    """The images of a release; `folders` names the classes' folders in the dataset's order, where that is not plain.

    InputError, with what would be right, where it is not one folder of images for each class, as many in each, all of
    the dataset's size.
    """
    passed = PassedOver()
    with _members(path, passed) as members:
        by_folder = _class_folders(path, members, inside)
        places, order = match_folders(sorted(by_folder), class_names, folders)
        counts = {folder: len(by_folder[folder]) for folder in sorted(by_folder)}
        if len(set(counts.values())) > 1:
            few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            raise InputError(
                f"{path} must have as many images of each class: {counts[few]} in {few}, {counts[many]} in {many}"
            )
        ipc, report, total = next(iter(counts.values())), ReadingReport(), hashlib.sha256()
        needed = ipc * len(class_names) * 3 * size**2
        if needed > IN_MEMORY:
            raise InputError(
                f"{path} holds {needed / 2**30:.1f} GiB of pixels; at most {IN_MEMORY / 2**30:.0f} are read"
            )
        pixels = torch.empty(ipc * len(class_names), 3, size, size, dtype=torch.uint8)
        place = 0
        for folder in sorted(by_folder, key=places.__getitem__):
            for member in sorted(by_folder[folder], key=lambda m: m.path.name):
                content = member.read(8 * size**2 + OVERHEAD)
                total.update(f"{places[folder]}/{len(content)}/".encode() + content)
                pixels[place] = decode_exact(content, f"{path}: {member.path}", size, report)
                place += 1
    report.levels.check()
    targets = torch.arange(len(class_names)).repeat_interleave(ipc)
    return Release(pixels, targets, ipc, order, total.hexdigest(), (*report.notes(), *passed.notes()))


def match_folders(
    found: Sequence[str], class_names: Sequence[str], folders: Sequence[str] = ()
) -> tuple[dict[str, int], str]:
    """The class index of each folder, and a sentence on how it was found.

    By name, then by name without regard to case and separators, then by number. InputError where none fits all, or
    where a name and a number mean different classes.
    """
    if folders:
        if (places := _by(found, folders, str)) is None:
            raise InputError(f"--class-names does not name the folders: {_difference(found, folders)}")
        return places, "classes by the names given"
    exact, loose, number = (
        _by(found, class_names, str),
        _by(found, class_names, _loosely),
        _by_number(found, class_names),
    )
    named = exact or loose
    if named and number and named != number:
        folder = next(folder for folder in found if named[folder] != number[folder])
        raise InputError(
            f"folder {folder} may be the class named so, or the class of that number ({class_names[number[folder]]!r}): "
            "say which with --class-names FILE, the folders' names in the dataset's class order"
        )
    if named:
        return named, "classes by name" if exact else "classes by name, without regard to case and separators"
    if number:
        first = sorted(found, key=number.__getitem__)[:SHOWN]
        shown = ", ".join(f"{folder} is {class_names[number[folder]]}" for folder in first)
        return number, f"folders are numbered: taken as places in the dataset's class order ({shown}, …)"
    raise InputError(
        f"the folders are not the dataset's classes: {_difference(found, class_names)}; "
        "give --class-names FILE, the folders' names in the dataset's class order, one a line"
    )


def _by(found: Sequence[str], names: Sequence[str], form: Callable[[str], str]) -> dict[str, int] | None:
    """The places of folders among names in some form of both; None unless each is exactly one."""
    places = {form(name): place for place, name in enumerate(names)}
    result = {folder: places[form(folder)] for folder in found if form(folder) in places}
    return result if len(result) == len(found) == len(names) == len(set(result.values())) else None


def _by_number(found: Sequence[str], class_names: Sequence[str]) -> dict[str, int] | None:
    matches = {folder: NUMBER.fullmatch(folder) for folder in found}
    numbers = {folder: int(match[1]) for folder, match in matches.items() if match and len(match[1]) < 10}
    if len(numbers) < len(found) or sorted(numbers.values()) != list(range(len(class_names))):
        return None
    return numbers


def _loosely(name: str) -> str:
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFKC", name)).casefold().strip()


def _difference(found: Sequence[str], names: Sequence[str]) -> str:
    def some(these: set[str]) -> str:
        shown = ", ".join(sorted(these)[:SHOWN])
        return f"{shown}, …" if len(these) > SHOWN else shown

    parts = [f"{len(found)} folders, {len(names)} classes"]
    if extra := set(found) - set(names):
        parts.append(f"no class: {some(extra)}")
    if missing := set(names) - set(found):
        parts.append(f"no folder: {some(missing)}")
    return "; ".join(parts)


def _class_folders(path: Path, members: Sequence[Member], inside: str) -> dict[str, list[Member]]:
    """The image files by class folder, all of one parent."""
    if inside:
        members = [m for m in members if m.path.is_relative_to(PurePosixPath(inside))]
    if not members:
        raise InputError(f"{path} has no images ({READ_SUFFIXES}) in class folders{f' in {inside}' if inside else ''}")
    parents = Counter(member.path.parent.parent for member in members)
    if len(parents) > 1:
        shown = ", ".join(str(parent) for parent in sorted(parents)[:SHOWN])
        raise InputError(f"{path} has class folders in {len(parents)} places ({shown}); say which with --inside FOLDER")
    result: dict[str, list[Member]] = {}
    for member in members:
        result.setdefault(member.path.parent.name, []).append(member)
    return result


@contextmanager
def _members(path: Path, passed: PassedOver) -> Iterator[list[Member]]:
    if path.is_dir():
        yield list(_in_folder(path, passed))
        return
    if not path.is_file():
        raise InputError(f"no distilled set at {path}")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # the file may be anything: struct.error, UnicodeDecodeError, …
        raise InputError(f"{path} cannot be read: {error}; it must be a folder or a zip file of images") from None
    with archive:
        yield _in_zip(path, archive, passed)


def _in_folder(root: Path, passed: PassedOver) -> Iterator[Member]:
    for folder, folders, names in os.walk(root, onerror=_raise):
        for name in (*folders, *names):
            file = Path(folder) / name
            relative = PurePosixPath(file.relative_to(root).as_posix())
            taken = _is_taken(relative, name in folders, passed)
            if taken and file.is_symlink():
                raise InputError(f"{file} is a symbolic link; a release must hold its images itself")
            if taken and not file.is_dir():
                yield Member(relative, partial(_read_file, file))
        folders[:] = [name for name in folders if not hidden(name)]


def has_class_folders(root: Path) -> bool:
    """Whether a folder has a sub-folder with images, which `read_release` would read, or refuse."""
    for folder, folders, names in os.walk(root):
        if Path(folder) != root and any(is_image(PurePosixPath(name)) and not hidden(name) for name in names):
            return True
        folders[:] = [name for name in folders if not hidden(name)]
    return False


def _raise(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}")


def _read_file(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return _at_most(opened.read(most + 1), most, str(file))
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _in_zip(path: Path, archive: zipfile.ZipFile, passed: PassedOver) -> list[Member]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() or "\0" in entry.orig_filename]
    if len(entries) > MOST_MEMBERS:
        raise InputError(f"{path} has {len(entries):,} members; at most {MOST_MEMBERS:,} are read")
    twice = [name for name, count in Counter(entry.filename for entry in entries).items() if count > 1]
    if twice:
        raise InputError(f"{path} has two members {twice[0]!r}")
    members = []
    for entry in entries:
        name = PurePosixPath(entry.filename)
        if reason := _refused(entry, name):
            raise InputError(f"{path} has a member {entry.filename[:SHOWN_NAME]!r} {reason}; it is not read")
        if _is_taken(name, False, passed):
            members.append(Member(name, partial(_read_entry, path, archive, entry)))
    return members


def _refused(entry: zipfile.ZipInfo, name: PurePosixPath) -> str:
    """Why a member makes the whole file suspect; empty where it does not."""
    if not name.parts or "\0" in entry.orig_filename:
        return "whose name is none"
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or ":" in name.parts[0]:
        return "that leads out of it"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "that is a symbolic link"
    if entry.flag_bits & ENCRYPTED:
        return "that is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a limit
        return "that is neither stored nor deflated"
    return ""


def _read_entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    name = f"{path}: {entry.filename}"
    if entry.file_size > most:
        raise _too_large(name, most)
    try:
        # What the directory claims is not believed: no more than that is unpacked.
        with archive.open(entry) as opened:
            return _at_most(opened.read(most + 1), most, name)
    except InputError:
        raise
    except Exception as error:  # as where the file is opened
        raise InputError(f"{name} cannot be read: {error}; is the file whole?") from None


def _at_most(content: bytes, most: int, name: str) -> bytes:
    if len(content) > most:
        raise _too_large(name, most)
    return content


def _too_large(name: str, most: int) -> InputError:
    return InputError(f"{name} is larger than an image of that size can be: more than {most:,} bytes")


def _is_taken(path: PurePosixPath, folder: bool, passed: PassedOver) -> bool:
    """Whether it is an image in a class folder, or a folder that is looked into; what is not is counted."""
    if any(map(hidden, path.parts)):
        passed.add(path, "hidden")
        return False
    if folder or (len(path.parts) >= 2 and is_image(path)):
        return True
    passed.add(path, "" if not is_image(path) else "beside the class folders")
    return False
