"""Datasets that lie as image files: decoded once into memory where they fit, and kept decoded; read on demand otherwise."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delt_host import Checkpoint, InputError, MemorySplit, RealData, RunError, Services, Split
from delt_host.toolbox import INDEX, NO_SERVICES, check_classes, code_of, data_fingerprint, key_of, mean_and_std
from delt_plugins.datasets import glance
from delt_plugins.datasets.decode import BadImage, decode, decode_all
from delt_plugins.datasets.index import Index, index
from delt_plugins.datasets.levels import Levels
from delt_plugins.datasets.reading import ReadingReport

KINDS = ("train", "test")
IN_MEMORY = 4 * 1024**3  # bytes of decoded training and test images
ONCE = 1024**3  # bytes of test images that stay in memory once they were read, at least
SHARE = 1 / 16  # of the memory, likewise: networks on accelerators wait for files that are decoded
GROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may have, which is less than the machine has."""
LEVELS_SAMPLE = 100  # images of a split that say what 16 bits mean, likewise


@dataclass(frozen=True)
class Files:
    """The files of one split with their class indices."""

    paths: list[str]
    targets: list[int]


class FileSplit(Split):
    """A split read from files on demand, in threads. InputError for a file that is another than when it was looked at."""

    def __init__(
        self, paths: Sequence[str], targets: Tensor, size: int, contents: Index, levels: Levels, upright: bool
    ) -> None:
        self.paths, self.targets, self.size, self.contents = list(paths), targets, size, contents
        self.levels, self.upright = levels, upright

    def read(self, indices: Tensor) -> Tensor:
        report = ReadingReport(levels=self.levels, upright=self.upright)
        images, _ = decode_all([self.paths[i] for i in indices.tolist()], self.size, report)
        for place in indices.tolist():
            check_still(self.contents, place, self.paths[place])
        return images

    def part(self, places: Tensor, scored: bool = False) -> FileSplit:
        """Read from files likewise; what is scored once, where it fits."""
        kind = OnceSplit if scored and _fits(len(places), self.size) else FileSplit
        paths = [self.paths[place] for place in places.tolist()]
        return kind(paths, self.targets[places], self.size, self.contents.at(places), self.levels, self.upright)

    def original(self, index: int) -> Tensor:
        image = decode(self.paths[index], ReadingReport(levels=self.levels, upright=self.upright))
        check_still(self.contents, index, self.paths[index])
        return image


class OnceSplit(FileSplit):
    """A split whose images are read from their files once a process, and then lie in memory: tests go through all of them."""

    def __init__(
        self, paths: Sequence[str], targets: Tensor, size: int, contents: Index, levels: Levels, upright: bool
    ) -> None:
        super().__init__(paths, targets, size, contents, levels, upright)
        self._images = torch.empty(len(self.paths), 3, size, size, dtype=torch.uint8)  # the system gives it as it fills
        self._there = torch.zeros(len(self.paths), dtype=torch.bool)

    def read(self, indices: Tensor) -> Tensor:
        if len(missing := indices[~self._there[indices]].unique()):
            # By numpy: the images are there after the inference mode in which they were first read.
            self._images.numpy()[missing.numpy()] = super().read(missing).numpy()
            self._there.numpy()[missing.numpy()] = True
        return self._images[indices]


class OriginalsSplit(MemorySplit):
    """A split in memory whose images can also be had at their own resolution, from their files."""

    def __init__(
        self, images: Tensor, targets: Tensor, paths: Sequence[str], contents: Index, white: float, upright: bool
    ) -> None:
        super().__init__(images, targets)
        self.paths, self.contents, self.white, self.upright = list(paths), contents, white, upright

    def part(self, places: Tensor, scored: bool = False) -> OriginalsSplit:
        """In memory likewise, with their files."""
        paths, found = [self.paths[place] for place in places.tolist()], self.contents.at(places)
        return OriginalsSplit(self.images[places], self.targets[places], paths, found, self.white, self.upright)

    def original(self, index: int) -> Tensor:
        image = decode(self.paths[index], ReadingReport(levels=Levels(self.white), upright=self.upright))
        check_still(self.contents, index, self.paths[index])
        return image


def check_still(contents: Index, place: int, path: str) -> None:
    """InputError where the file at a place is another than when it was looked at: what a run reads is what its keys say."""
    if not contents.still(place, path):
        raise changed(path)


def changed(path: str) -> InputError:
    return InputError(f"{path} changed while it was read; run again when nothing writes to its folder")


def load_files(
    name: str,
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    skip_bad_images: bool = False,
    notes: Sequence[str] = (),
    services: Services = NO_SERVICES,
    white: float = 0.0,
    upright: bool = False,
) -> RealData:
    """A dataset from image files; `statistics` are its known mean and std, taken from the training images if None.

    `white` is the value that is white in images of more than 8 bits a value; 0: 16 bits to the full, if the data use them.
    `upright`: images are turned as their EXIF orientation says.
    Decoded images, and what lies in which file, are kept in the store of `services`.

    Its fingerprint is of contents. Names of files count only by the order that they give to the images of a class.
    """
    needed = (len(train.paths) + len(test.paths)) * 3 * size**2
    load = _on_demand if needed > IN_MEMORY else _in_memory
    try:
        splits, fingerprint, report = load(
            class_names, train, test, size, skip_bad_images, services, name, white, upright
        )
    except glance.TooLong as error:
        why = glance.why([*train.paths, *test.paths], error.seconds)
        return glance.unread(name, class_names, size, train.targets, test.targets, notes, why)
    check_classes(name, class_names, *splits)
    mean, std = statistics or mean_and_std(splits[0])
    return RealData(name, tuple(class_names), size, mean, std, *splits, fingerprint, (*notes, *report.notes()))


def _on_demand(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    services: Services,
    name: str,
    white: float,
    upright: bool,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    report, splits = ReadingReport(levels=Levels(white), upright=upright), list[FileSplit]()
    glance.check_indexing(train.paths, test.paths, services)
    if skip_bad_images:
        glance.check(_decoder(size, white, upright), [*train.paths, *test.paths], services.patience)
    parts: list[object] = [list(class_names), size, white, upright, code_of(decode_all)]
    for files, found in zip((train, test), _indexed(train, test, services, name), strict=True):
        paths, targets = files.paths, torch.tensor(files.targets)
        good = [place for place, path in enumerate(paths) if not skip_bad_images or _readable(path, report, size)]
        found = found.at(torch.tensor(good, dtype=torch.int64))
        kind = OnceSplit if splits and _fits(len(good), size) else FileSplit  # the test split is the second
        splits.append(kind([paths[i] for i in good], targets[good], size, found, report.levels, upright))
        parts += [targets[good].tolist(), found.digest()]
    if not skip_bad_images:  # else all were decoded
        for split in splits:
            sample = split.paths[:: max(len(split) // LEVELS_SAMPLE, 1)]
            decode_all(sample, size, ReadingReport(levels=report.levels, upright=upright))
    for split in splits:
        split.levels = report.levels.settle()
    return (splits[0], splits[1]), key_of(parts), report


def _fits(images: int, size: int) -> bool:
    """Whether so many images that are scored stay in memory."""
    return images * 3 * size**2 <= max(ONCE, SHARE * _memory())


def _memory() -> int:
    """Bytes of the machine, or of the container that this process is in; 0 where nobody says."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for limit in GROUP:
        with suppress(OSError, ValueError):  # `max` is no number
            found.append(int(limit.read_text(encoding="utf-8")))
    return min(found, default=0)


def _readable(path: str, report: ReadingReport, size: int) -> bool:
    try:
        decode(path, report, size)
    except BadImage:
        report.skipped.append(path)
        return False
    return True


def _decoder(size: int, white: float, upright: bool) -> Callable[[str], object]:
    """Decodes an image, to see how long it takes."""
    return partial(_readable, report=ReadingReport(levels=Levels(white), upright=upright), size=size)


def _in_memory(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    services: Services,
    name: str,
    white: float,
    upright: bool,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    try:
        glance.check_indexing(train.paths, test.paths, services)
    except glance.TooLong as error:
        decoding = glance.seconds_of(_decoder(size, white, upright), [*train.paths, *test.paths])
        raise glance.TooLong(error.seconds + decoding) from None
    indices = _indexed(train, test, services, name)
    content: list[object] = [size, white, upright, code_of(decode_all), *(each.digest() for each in indices)]
    decoded, report = _decoded((train, test), size, skip_bad_images, indices, content, services, name, white, upright)
    splits = []
    for kind, files, found in zip(KINDS, (train, test), indices, strict=True):
        good = decoded[f"{kind}.kept"]
        paths = [files.paths[i] for i in good.tolist()]
        splits.append(
            OriginalsSplit(
                decoded[f"{kind}.images"], torch.tensor(files.targets)[good], paths, found.at(good), white, upright
            )
        )
    fingerprint = data_fingerprint(class_names, *splits)
    # Patches are cut from the images as they are in their files, which the pixels at another size do not tell.
    return (splits[0], splits[1]), key_of([fingerprint, content]) if report.resized else fingerprint, report


def _decoded(
    splits: tuple[Files, Files],
    size: int,
    skip_bad_images: bool,
    indices: tuple[Index, Index],
    content: list[object],
    services: Services,
    name: str,
    white: float,
    upright: bool,
) -> tuple[dict[str, Tensor], ReadingReport]:
    """Images (N, 3, size, size) and kept places (N,) of both splits, decoded or as an earlier run has kept them."""
    decoded: list[tuple[dict[str, Tensor], dict[str, Any]]] = []

    def work(_checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Any]]:
        report, tensors = ReadingReport(levels=Levels(white), upright=upright), dict[str, Tensor]()
        with services.observer.stage("decode", name, sum(len(files.paths) for files in splits), "images"):
            for kind, files in zip(KINDS, splits, strict=True):
                images, good = decode_all(files.paths, size, report, skip_bad_images, services.observer.advance)
                tensors |= {f"{kind}.images": images, f"{kind}.kept": good}
        report.levels.check()
        # Files that changed meanwhile are not what the key says. Those of this moment are read again.
        again = _indexed(*splits, Services(services.store))
        for files, before, after in zip(splits, indices, again, strict=True):
            for place in torch.nonzero((before.contents != after.contents).any(dim=1)).flatten().tolist():
                raise changed(files.paths[place])
        decoded.append((tensors, {"converted": report.converted, "resized": report.resized, "turned": report.turned}))
        return decoded[0]

    if services.store is None:
        tensors, facts = work(Checkpoint(None))
    else:
        inputs = {"content": content, "skip": skip_bad_images}
        if not services.store.holds("decode", services.store.key("decode", inputs)):
            every = [path for files in splits for path in files.paths]
            glance.check(_decoder(size, white, upright), every, services.patience)
        try:
            entry = services.store.resume("decode", inputs, work, name)
            tensors, facts = entry.tensors, entry.facts
        except RunError as error:
            if not decoded:
                raise
            services.observer.note(str(error))  # there was no room for them, which costs the next run its time
            ((tensors, facts),) = decoded
    report = ReadingReport(
        dict(facts["converted"]),
        resized=facts["resized"],
        levels=Levels(white),
        upright=upright,
        turned=facts["turned"],
    )
    for kind, files in zip(KINDS, splits, strict=True):
        taken = set(tensors[f"{kind}.kept"].tolist())
        report.skipped += [path for place, path in enumerate(files.paths) if place not in taken]
    return tensors, report


def _indexed(train: Files, test: Files, services: Services, name: str = "") -> tuple[Index, Index]:
    memory = services.store.root / INDEX if services.store is not None else None
    observer = services.observer
    with observer.stage("index", name, len(train.paths) + len(test.paths), "files"):
        return index(train.paths, memory, observer.advance), index(test.paths, memory, observer.advance)
