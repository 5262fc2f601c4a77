"""Datasets that lie as image files: decoded once into memory where they fit, and kept decoded; read on demand otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from delt_host.code_identity import code_of
from delt_host.data import kept
from delt_host.data.base import MemorySplit, ReadingReport, RealData, Split, check_classes
from delt_host.data.decode import BadImage, decode, decode_all
from delt_host.data.index import Index, index
from delt_host.data.levels import Levels
from delt_host.entry import UNKEPT, default_store, key_of
from delt_host.observer import QUIET, Observer

IN_MEMORY = 4 * 1024**3  # bytes of decoded training and test images
STATISTICS_SAMPLE = 1000  # images that mean and std are taken from where not all are in memory
LEVELS_SAMPLE = 100  # images of a split that say what 16 bits mean, likewise


@dataclass(frozen=True)
class Files:
    """The files of one split with their class indices."""

    paths: list[Path]
    targets: list[int]


class FileSplit(Split):
    """A split read from files on demand, in threads."""

    def __init__(self, paths: Sequence[Path], targets: Tensor, size: int, levels: Levels) -> None:
        self.paths, self.targets, self.size, self.levels = list(paths), targets, size, levels

    def read(self, indices: Tensor) -> Tensor:
        report = ReadingReport(levels=self.levels)
        images, _ = decode_all([self.paths[i] for i in indices.tolist()], self.size, report)
        return images

    def original(self, index: int) -> Tensor:
        return decode(self.paths[index], ReadingReport(levels=self.levels))


class OriginalsSplit(MemorySplit):
    """A split in memory whose images can also be had at their own resolution, from their files."""

    def __init__(self, images: Tensor, targets: Tensor, paths: Sequence[Path], white: float = 0.0) -> None:
        super().__init__(images, targets)
        self.paths, self.white = list(paths), white

    def original(self, index: int) -> Tensor:
        return decode(self.paths[index], ReadingReport(levels=Levels(self.white)))


def load_files(
    name: str,
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    skip_bad_images: bool = False,
    notes: Sequence[str] = (),
    observer: Observer = QUIET,
    white: float = 0.0,
) -> RealData:
    """A dataset from image files; `statistics` are its known mean and std, taken from the training images if None.

    `white` is the value that is white in images of more than 8 bits a value; 0: 16 bits to the full, if the data use them.

    Its fingerprint is of contents. Names of files count only by the order that they give to the images of a class.
    """
    needed = (len(train.paths) + len(test.paths)) * 3 * size**2
    load = _on_demand if needed > IN_MEMORY else _in_memory
    splits, fingerprint, report = load(class_names, train, test, size, skip_bad_images, observer, name, white)
    check_classes(name, class_names, *splits)
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
        kept.add(total, split.targets)
        kept.add(total, split.images)
    return total.hexdigest()


def _on_demand(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    observer: Observer,
    name: str,
    white: float,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    report, splits = ReadingReport(levels=Levels(white)), []
    parts: list[object] = [list(class_names), size, white, code_of(decode_all)]
    for files, found in zip((train, test), _indexed(train, test, observer, name), strict=True):
        paths, targets = files.paths, torch.tensor(files.targets)
        good = [place for place, path in enumerate(paths) if not skip_bad_images or _readable(path, report, size)]
        splits.append(FileSplit([paths[i] for i in good], targets[good], size, report.levels))
        parts += [targets[good].tolist(), found.digest(torch.tensor(good, dtype=torch.int64))]
    if not skip_bad_images:  # else all were decoded
        for split in splits:
            sample = split.paths[:: max(len(split) // LEVELS_SAMPLE, 1)]
            decode_all(sample, size, ReadingReport(levels=report.levels))
    for split in splits:
        split.levels = report.levels.settle()
    return (splits[0], splits[1]), key_of(parts), report


def _readable(path: Path, report: ReadingReport, size: int) -> bool:
    try:
        decode(path, report, size)
    except BadImage:
        report.skipped.append(str(path))
        return False
    return True


def _in_memory(
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    observer: Observer,
    name: str,
    white: float,
) -> tuple[tuple[Split, Split], str, ReadingReport]:
    indices = _indexed(train, test, observer, name)
    content: list[object] = [size, white, code_of(decode_all), *(each.digest() for each in indices)]
    decoded, report = _decoded(train, test, size, skip_bad_images, content, observer, name, white)
    splits = []
    for kind, files in (("train", train), ("test", test)):
        good = decoded[f"{kind}.kept"]
        paths = [files.paths[i] for i in good.tolist()]
        splits.append(OriginalsSplit(decoded[f"{kind}.images"], torch.tensor(files.targets)[good], paths, white))
    fingerprint = fingerprint_of(class_names, *splits)
    # Patches are cut from the images as they are in their files, which the pixels at another size do not tell.
    return (splits[0], splits[1]), key_of([fingerprint, content]) if report.resized else fingerprint, report


def _decoded(
    train: Files,
    test: Files,
    size: int,
    skip_bad_images: bool,
    content: list[object],
    observer: Observer,
    name: str,
    white: float,
) -> tuple[dict[str, Tensor], ReadingReport]:
    """Images (N, 3, size, size) and kept places (N,) of both splits, decoded or as an earlier run has kept them."""
    splits = {"train": train, "test": test}
    key = key_of([content, skip_bad_images])
    cache = default_store() / "decoded" / f"{key[:24]}.safetensors"
    tensors: dict[str, Tensor] = {}
    if found := kept.read(cache):
        tensors, facts = found
        report = ReadingReport(facts["converted"], resized=facts["resized"], levels=Levels(white))
        for kind, files in splits.items():
            taken = set(tensors[f"{kind}.kept"].tolist())
            report.skipped += [str(path) for place, path in enumerate(files.paths) if place not in taken]
        return tensors, report
    report = ReadingReport(levels=Levels(white))
    with observer.stage("decode", name, len(train.paths) + len(test.paths), "images"):
        for kind, files in splits.items():
            images, good = decode_all(files.paths, size, report, skip_bad_images, observer.advance)
            tensors |= {f"{kind}.images": images, f"{kind}.kept": good}
    report.levels.check()
    # Files that changed meanwhile are not what the key says.
    unchanged = [each.digest() for each in _indexed(train, test)] == content[-2:]
    if unchanged and not key.startswith(UNKEPT):
        kept.write(cache, tensors, {"converted": report.converted, "resized": report.resized})
    return tensors, report


def _indexed(train: Files, test: Files, observer: Observer = QUIET, name: str = "") -> tuple[Index, Index]:
    memory = default_store() / "index"
    with observer.stage("index", name, len(train.paths) + len(test.paths), "files"):
        return index(train.paths, memory, observer.advance), index(test.paths, memory, observer.advance)
