"""What lies in the files of a split: the SHA-256 of each, remembered, so that files are read once and not in every run.

Memory goes by the split's folder, a file's place in it, and what the file system says of the file: its size, the time of
its content, the time of any change, its number. ``cp -p``, ``rsync -t`` and archives set the time of content; that of any
change nobody can set, so that whoever replaces, moves or touches a file has it read again. Where all four agree all the
same, as those of two read-only images mounted at one place, a sample of contents tells.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from delt_host import RunError
from delt_host.toolbox import KEY_LENGTH, Damaged, digest, file_digest, sealed

SAMPLE = 32
"""Files that are read in every run, at most, whatever is remembered of them."""
RECENT = 2.0
"""Seconds of the coarsest clock that a file system has (FAT's): two changes within one tick look alike."""
EVERY = 30.0
"""Seconds after which what was read so far is remembered, so that a killed run has it."""
CHUNK = 64
"""Files that a thread takes at a time."""
WAITING = 2
"""Threads for each that may compute: those that look at files wait for a disk."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Index:
    """The content of every file of a split."""

    contents: Tensor
    """(N, 32) uint8: each file's SHA-256, in the split's order; zeros for a file that cannot be read."""
    looks: Tensor
    """(N, 4) int64: what the file system said of each: size, times of content and of any change, number."""

    def digest(self, places: Tensor | None = None) -> str:
        """What stands for all files, or for those at `places` (n,): their contents in this order, and not their names."""
        total = hashlib.sha256()
        add(total, self.contents if places is None else self.contents[places])
        return total.hexdigest()

    def at(self, places: Tensor) -> Index:
        """Of the files at these places (n,) alone."""
        return Index(self.contents[places], self.looks[places])

    def still(self, place: int, file: Path | str) -> bool:
        """Whether the file at a place has the content that it had; it is read only where it looks otherwise."""
        if _look(file) == tuple(self.looks[place].tolist()):
            return True
        return _content(file) == bytes(self.contents[place].tolist())


def index(
    files: Sequence[Path | str], memory: Path | None, progress: Callable[[int], None] = lambda _files: None
) -> Index:
    """Look at the content of files that lie in one folder; what the folder `memory` tells of an earlier run is not read.

    The memory is the store's, with its permissions. One that cannot be read now is left as it is.
    `progress` is told how many more files are done. One that cannot be read is for decoding to name.
    """
    began = time.time()
    folder = _folder_of(files)
    place = place_of(folder, memory) if memory is not None else None
    names = [os.fsencode(str(file)[len(folder) :]) for file in files]
    parts = [torch.tensor(some, dtype=torch.int64) for some in _each(_look, files)]
    looks = torch.cat(parts) if parts else torch.empty(0, 4, dtype=torch.int64)

    try:
        old = _Memory.of(place)
    except RunError:
        old, place = _Memory.of(None), None
    contents, known = old.recall(names, looks)
    sample = _evenly(torch.nonzero(known).flatten())
    if any(_content(files[at]) != bytes(contents[at].tolist()) for at in sample.tolist()):
        # Another folder is in the place of the one that was here.
        old, known = _Memory.of(None), torch.zeros_like(known)
    progress(int(known.sum()))
    unknown = torch.nonzero(~known).flatten()
    done, saved = 0, time.monotonic()
    # What changed just now could change again and look the same.
    settled = looks[:, 2] < int((began - RECENT) * 1e9)

    def remember() -> None:
        if place is not None:
            _Memory(names, looks, contents).only(settled & (contents != 0).any(dim=1)).beside(old).write(place)

    for some in _each(_content, [files[at] for at in unknown.tolist()]):
        contents[unknown[done : done + len(some)]] = _bytes(b"".join(some)).view(-1, 32)
        done += len(some)
        progress(len(some))
        if time.monotonic() - saved > EVERY:
            remember()
            saved = time.monotonic()
    if done:
        remember()
    return Index(contents, looks)


def place_of(folder: Path | str, memory: Path) -> Path:
    """Where in the folder `memory` it is kept what the files of a folder are; nothing is there before they were looked at."""
    return memory / digest(str(Path(folder).resolve()))[:KEY_LENGTH]


def unknown(files: Sequence[str], memory: Path | None) -> list[str]:
    """Those of one folder whose names nothing is remembered of; RunError where the memory cannot be read now."""
    if memory is None:
        return list(files)
    folder = _folder_of([file for file in files if file])
    there = set(_Memory.of(place_of(folder, memory)).names)
    return [file for file in files if os.fsencode(file[len(folder) :]) not in there]


def _folder_of(files: Sequence[Path | str]) -> str:
    return os.path.commonpath({os.path.dirname(file) for file in files}) if files else ""  # noqa: PTH120 - of a million names no objects are made


@dataclass(frozen=True)
class _Memory:
    """Files by their names in the folder, how they looked, and what was in them."""

    names: list[bytes]
    looks: Tensor
    contents: Tensor

    @classmethod
    def of(cls, place: Path | None) -> _Memory:
        """What was remembered; nothing where that is damaged. RunError where it cannot be read now."""
        if place is not None:
            with suppress(FileNotFoundError, Damaged):
                tensors, _ = sealed.read(place)
                with suppress(OSError):
                    os.utime(place)  # used now, for `store prune --older-than`
                return cls(tensors["names"].numpy().tobytes().split(b"\0")[:-1], tensors["looks"], tensors["contents"])
        return cls([], torch.empty(0, 4, dtype=torch.int64), torch.empty(0, 32, dtype=torch.uint8))

    def write(self, place: Path) -> None:
        """Where that cannot be done, the next run reads the files again."""
        names = _bytes(b"".join(name + b"\0" for name in self.names))  # a byte that no path has
        with suppress(OSError):
            sealed.write(
                place, {"names": names, "looks": self.looks, "contents": self.contents}, {}, like=place.parents[1]
            )

    def recall(self, names: list[bytes], looks: Tensor) -> tuple[Tensor, Tensor]:
        """The contents (N, 32) of files that look as they did, and which (N,) these are."""
        row_of = {name: row for row, name in enumerate(self.names)}
        rows = torch.tensor([row_of.get(name, -1) for name in names], dtype=torch.int64)
        contents, known = torch.zeros(len(names), 32, dtype=torch.uint8), rows >= 0
        known[known.clone()] = (self.looks[rows[known]] == looks[known]).all(dim=1)
        contents[known] = self.contents[rows[known]]
        return contents, known

    def only(self, which: Tensor) -> _Memory:
        names = [name for name, taken in zip(self.names, which.tolist(), strict=True) if taken]
        return _Memory(names, self.looks[which], self.contents[which])

    def beside(self, old: _Memory) -> _Memory:
        """With what is remembered of other files of the folder: not every run reads all of its classes."""
        own = set(self.names)
        others = old.only(torch.tensor([name not in own for name in old.names], dtype=torch.bool))
        return _Memory(
            [*self.names, *others.names],
            torch.cat([self.looks, others.looks]),
            torch.cat([self.contents, others.contents]),
        )


def add(total: hashlib._Hash, tensor: Tensor) -> None:
    """Its elements' bytes, in order, without a copy where they lie in order already."""
    total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def _each(work: Callable[[Path | str], Found], files: Sequence[Path | str]) -> Iterator[list[Found]]:
    """What `work` makes of each file, in threads, in order, some at a time."""
    with ThreadPoolExecutor(max_workers=WAITING * torch.get_num_threads()) as pool:
        starts = range(0, len(files), CHUNK)
        yield from pool.map(lambda start: [work(file) for file in files[start : start + CHUNK]], starts)


def _look(file: Path | str) -> tuple[int, int, int, int]:
    """Size, time of content and of any change in nanoseconds, and number; of what a link leads to."""
    try:
        found = os.stat(file)  # noqa: PTH116 - as above
    except OSError:
        return -1, 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino % 2**63


def _content(file: Path | str) -> bytes:
    try:
        return bytes.fromhex(file_digest(Path(file)))
    except OSError:
        return bytes(32)


def _evenly(places: Tensor) -> Tensor:
    """A sample that begins elsewhere each time, so that what one run does not look at another does."""
    step = max(-(-len(places) // SAMPLE), 1)
    return places[secrets.randbelow(step) :: step]


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)
