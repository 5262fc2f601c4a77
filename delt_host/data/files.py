"""Datasets that lie as image files: decoded once into memory where they fit, and kept decoded; read on demand otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delt_host.code_identity import code_of
from delt_host.data.base import MemorySplit, ReadingReport, RealData, Split
from delt_host.data.decode import decode, decode_all
from delt_host.data.index import Index, add, index
from delt_host.entry import INDEX, key_of
from delt_host.errors import InputError, RunError
from delt_host.resume import Checkpoint
from delt_host.services import NONE, Services

KINDS = ("train", "test")
IN_MEMORY = 4 * 1024**3  # bytes of decoded training and test images
STATISTICS_SAMPLE = 1000  # images that mean and std are taken from where not all are in memory


@dataclass(frozen=True)
class Files:
    """The files of one split with their class indices."""

    paths: list[Path]
    targets: list[int]


class FileSplit(Split):
    """A split read from files on demand, in threads. InputError for a file that is another than when it was looked at."""

    def __init__(self, paths: Sequence[Path], targets: Tensor, size: int, contents: Index) -> None:
        self.paths, self.targets, self.size, self.contents = list(paths), targets, size, contents

    def read(self, indices: Tensor) -> Tensor:
        images, _ = decode_all([self.paths[i] for i in indices.tolist()], self.size)
        for place in indices.tolist():
            check_still(self.contents, place, self.paths[place])
        return images

    def original(self, index: int) -> Tensor:
        image = decode(self.paths[index])
        check_still(self.contents, index, self.paths[index])
        return image


class OriginalsSplit(MemorySplit):
    """A split in memory whose images can also be had at their own resolution, from their files."""

    def __init__(self, images: Tensor, targets: Tensor, paths: Sequence[Path], contents: Index) -> None:
        super().__init__(images, targets)
        self.paths, self.contents = list(paths), contents

    def original(self, index: int) -> Tensor:
        image = decode(self.paths[index])
        check_still(self.contents, index, self.paths[index])
        return image


def check_still(contents: Index, place: int, path: Path) -> None:
    """InputError where the file at a place is another than when it was looked at: what a run reads is what its keys say."""
    if not contents.still(place, path):
        raise changed(path)


def changed(path: Path) -> InputError:
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
    services: Services = NONE,
) -> RealData:
    """A dataset from image files; `statistics` are its known mean and std, taken from the training images if None.

    Decoded images, and what lies in which file, are kept in the store of `services`.

    Its fingerprint is of contents. Names of files count only by the order that they give to the images of a class.
    """
    needed = (len(train.paths) + len(test.paths)) * 3 * size**2
    load = _on_demand if needed > IN_MEMORY else _in_memory
    splits, fingerprint, report = load(class_names, train, test, size, skip_bad_images, services, name)
    for kind, split in zip(("training", "test"), splits, strict=True):
        counts = torch.bincount(split.targets, minlength=len(class_names))
        if int(counts.min()) == 0:
            empty = class_names[int(counts.argmin())]
            raise InputError(f"class {empty!r} of {name} has no {kind} image that can be read")
    mean, std = statistics or mean_and_std(splits[0])
    return RealData(name, tuple(class_names), size, mean, std, *splits, fingerprint, (*notes, *report.notes()))


def mean_and_std(split: Split) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Per-channel mean and std of RGB values in 0..1, of all images in memory or of an even sample of files."""
    indices = torch.arange(len(split))
    if not isinstance(split, MemorySplit) and len(split) > STATISTICS_SAMPLE:
        indices = indices[:: len(split) // STATISTICS_SAMPLE]
    count, total, squares = 0, torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for chunk in indices.split(1000):
        unit = split.read(chunk).double() / 255
        count += unit.numel() // 3
        total += unit.sum(dim=(0, 2, 3))
        squares += unit.square().sum(dim=(0, 2, 3))
    mean = total / count
    # A dataset of one colour has no spread to divide by.
    std = (squares / count - mean**2).clamp_min(0).sqrt().clamp_min(1e-3)
    (a, b, c), (d, e, f) = mean.tolist(), std.tolist()
    return (a, b, c), (d, e, f)


def fingerprint_of(class_names: Sequence[str], *splits: MemorySplit) -> str:
    """SHA-256 of class names, labels and pixels."""
    total = hashlib.sha256(json.dumps(list(class_names)).encode())
    for split in splits:
        add(total, split.targets)
        add(total, split.images)
    return total.hexdigest()


def _on_demand(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    services: Services,
    name: str,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    report, splits = ReadingReport(), []
    parts: list[object] = [list(class_names), size, code_of(decode_all)]
    for files, found in zip((train, test), _indexed(train, test, services, name), strict=True):
        paths, targets = files.paths, torch.tensor(files.targets)
        good = [place for place, path in enumerate(paths) if not skip_bad_images or _readable(path, report)]
        found = found.at(torch.tensor(good, dtype=torch.int64))
        splits.append(FileSplit([paths[i] for i in good], targets[good], size, found))
        parts += [targets[good].tolist(), found.digest()]
    return (splits[0], splits[1]), key_of(parts), report


def _readable(path: Path, report: ReadingReport) -> bool:
    try:
        decode(path, report)
    except InputError:
        report.skipped.append(str(path))
        return False
    return True


def _in_memory(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    services: Services,
    name: str,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    indices = _indexed(train, test, services, name)
    content: list[object] = [size, code_of(decode_all), *(each.digest() for each in indices)]
    decoded, report = _decoded((train, test), size, skip_bad_images, indices, content, services, name)
    splits = []
    for kind, files, found in zip(KINDS, (train, test), indices, strict=True):
        good = decoded[f"{kind}.kept"]
        paths = [files.paths[i] for i in good.tolist()]
        splits.append(
            OriginalsSplit(decoded[f"{kind}.images"], torch.tensor(files.targets)[good], paths, found.at(good))
        )
    fingerprint = fingerprint_of(class_names, *splits)
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
) -> tuple[dict[str, Tensor], ReadingReport]:
    """Images (N, 3, size, size) and kept places (N,) of both splits, decoded or as an earlier run has kept them."""
    decoded: list[tuple[dict[str, Tensor], dict[str, Any]]] = []

    def work(_checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Any]]:
        report, tensors = ReadingReport(), dict[str, Tensor]()
        with services.observer.stage("decode", name, sum(len(files.paths) for files in splits), "images"):
            for kind, files in zip(KINDS, splits, strict=True):
                images, good = decode_all(files.paths, size, report, skip_bad_images, services.observer.advance)
                tensors |= {f"{kind}.images": images, f"{kind}.kept": good}
        # Files that changed meanwhile are not what the key says. Those of this moment are read again.
        again = _indexed(*splits, Services(services.store))
        for files, before, after in zip(splits, indices, again, strict=True):
            for place in torch.nonzero((before.contents != after.contents).any(dim=1)).flatten().tolist():
                raise changed(files.paths[place])
        decoded.append((tensors, {"converted": report.converted, "resized": report.resized}))
        return decoded[0]

    if services.store is None:
        tensors, facts = work(Checkpoint(None))
    else:
        try:
            entry = services.store.resume("decode", {"content": content, "skip": skip_bad_images}, work, name)
            tensors, facts = entry.tensors, entry.facts
        except RunError as error:
            if not decoded:
                raise
            services.observer.note(str(error))  # there was no room for them, which costs the next run its time
            ((tensors, facts),) = decoded
    report = ReadingReport(dict(facts["converted"]), resized=facts["resized"])
    for kind, files in zip(KINDS, splits, strict=True):
        taken = set(tensors[f"{kind}.kept"].tolist())
        report.skipped += [str(path) for place, path in enumerate(files.paths) if place not in taken]
    return tensors, report


def _indexed(train: Files, test: Files, services: Services, name: str = "") -> tuple[Index, Index]:
    memory = services.store.root / INDEX if services.store is not None else None
    observer = services.observer
    with observer.stage("index", name, len(train.paths) + len(test.paths), "files"):
        return index(train.paths, memory, observer.advance), index(test.paths, memory, observer.advance)
