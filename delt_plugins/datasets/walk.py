"""Which files of a folder are its images: what is hidden, which suffixes are read, in what order, and what is passed over."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from delt_host import InputError

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".pnm"),
)
READ_SUFFIXES = "png, jpg, webp, bmp, tiff, gif, ppm"
"""What a sentence says is read."""

HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")
"""What macOS and Windows leave in folders and archives, in lower case."""
KINDS_SHOWN = 5


def hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's, by its name alone: it begins with a dot, or a system left it."""
    return name.startswith(".") or name.lower() in HIDDEN


def is_image(path: PurePath | str) -> bool:
    """Whether the suffix, in any case, is of a format that is read."""
    return _suffix(path) in SUFFIXES


def _suffix(path: PurePath | str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - of a million names no objects are made


@dataclass
class PassedOver:
    """What lay among images and was not read, by kind, each with an example."""

    kinds: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)
    hidden_classes: dict[str, int] = field(default_factory=dict)
    """Images of hidden folders that lie where class folders do."""

    def add(self, path: PurePath | str, kind: str = "") -> None:
        """Count a file; its kind is its suffix where none is said."""
        kind = kind or _suffix(path) or "without a suffix"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.examples.setdefault(kind, str(path))

    def notes(self) -> tuple[str, ...]:
        """One sentence, or none; and one for each hidden folder that may have been meant as a class."""
        if not self.kinds:
            return ()
        classes = [
            f"{folder} is hidden by its name and holds {count} image{'s' * (count > 1)}: rename it to have it as a class"
            for folder, count in self.hidden_classes.items()
        ]
        kinds = sorted(self.kinds, key=lambda kind: (-self.kinds[kind], kind))
        parts = [f"{self.kinds[kind]} {kind} ({self.examples[kind]})" for kind in kinds[:KINDS_SHOWN]]
        if rest := sum(self.kinds[kind] for kind in kinds[KINDS_SHOWN:]):
            parts.append(f"{rest} of other kinds")
        return (f"passed over, as no images that are read: {', '.join(parts)}", *classes)


def folders_in(folder: Path, passed: PassedOver) -> list[Path]:
    """The folders in a folder, hidden ones left out, by name; files beside them are counted."""
    found = []
    for entry in _entries(folder):
        path = Path(entry.path)
        if hidden(entry.name):
            passed.add(path, "hidden")
            if path.is_dir() and (count := images_below(path)):
                passed.hidden_classes[str(path)] = count
        elif path.is_dir():
            found.append(path)
        else:
            passed.add(path, "beside the class folders")
    return found


def images_in(folder: Path, passed: PassedOver, within: Path | None = None) -> list[str]:
    """The image files in a folder and all folders below it; those of a folder by name, folders by their paths, as
    torchvision's ImageFolder has them. What a folder's list says of an entry is taken; only links are looked at.

    InputError for a symbolic link that leads out of `within`, where it is given. Links that lead back are not followed.
    """
    check_link(folder, within)
    found = sorted(_below(str(folder), (folder.resolve(),), passed, within))
    return [file for _, files in found for file in files]


def images_below(folder: Path, within: Path | None = None) -> int:
    """How many images a folder and those below it hold; 0 where it cannot be looked at, or a link leads out of `within`."""
    with suppress(InputError):
        return len(images_in(folder, PassedOver(), within))
    return 0


def _below(
    folder: str, above: tuple[Path, ...], passed: PassedOver, within: Path | None
) -> Iterator[tuple[str, list[str]]]:
    """Each folder's path with its image files; `above` are the real paths of this one and those that led here."""
    images, folders = [], []
    for entry in _entries(folder):
        is_link = entry.is_symlink()
        if hidden(entry.name):
            passed.add(entry.path, "hidden")
        elif is_link and not _leads_somewhere(Path(entry.path)):
            passed.add(entry.path, "links to nothing")
        elif entry.is_dir():
            if is_link:
                check_link(Path(entry.path), within)
            target = Path(entry.path).resolve() if is_link else above[-1] / entry.name
            if any(each.is_relative_to(target) for each in above):
                passed.add(entry.path, "links that lead back")
            else:
                folders.append((entry.path, target))
        elif not entry.is_file():
            passed.add(entry.path, "neither files nor folders")
        elif is_image(entry.name):
            if is_link:
                check_link(Path(entry.path), within)
            images.append(entry.path)
        else:
            passed.add(entry.path)
    yield folder, images
    for path, target in folders:
        yield from _below(path, (*above, target), passed, within)


def _entries(folder: Path | str) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}") from None


def _leads_somewhere(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise InputError(f"{link} cannot be read: {error.strerror}") from None
    return True


def check_link(path: Path, within: Path | None) -> None:
    """InputError for a symbolic link that leads out of a folder, where it is given."""
    if within is not None and path.is_symlink() and not path.resolve().is_relative_to(within.resolve()):
        raise InputError(
            f"{path} is a symbolic link that leads out of {within}; to read such links: --set dataset.follow_links=true"
        )
