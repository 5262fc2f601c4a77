"""Datasets that lie as image files: decoded once into memory where they fit, and kept decoded; read on demand otherwise."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from delt_host.data.base import MemorySplit, ReadingReport, RealData, Split
from delt_host.data.decode import decode, decode_all
from delt_host.entry import default_store, digest
from delt_host.errors import InputError

IN_MEMORY = 4 * 1024**3  # bytes of decoded training and test images
STATISTICS_SAMPLE = 1000  # images that mean and std are taken from where not all are in memory
METADATA = "delt_host.decoded"


@dataclass(frozen=True)
class Files:
    """The files of one split with their class indices."""

    paths: list[Path]
    targets: list[int]


class FileSplit(Split):
    """A split read from files on demand, in threads."""

    def __init__(self, paths: Sequence[Path], targets: Tensor, size: int) -> None:
        self.paths, self.targets, self.size = list(paths), targets, size

    def read(self, indices: Tensor) -> Tensor:
        images, _ = decode_all([self.paths[i] for i in indices.tolist()], self.size)
        return images

    def original(self, index: int) -> Tensor:
        return decode(self.paths[index])


class OriginalsSplit(MemorySplit):
    """A split in memory whose images can also be had at their own resolution, from their files."""

    def __init__(self, images: Tensor, targets: Tensor, paths: Sequence[Path]) -> None:
        super().__init__(images, targets)
        self.paths = list(paths)

    def original(self, index: int) -> Tensor:
        return decode(self.paths[index])


def load_files(
    name: str,
    class_names: Sequence[str],
    train: Files,
    test: Files,
    size: int,
    statistics: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    skip_bad_images: bool = False,
    notes: Sequence[str] = (),
) -> RealData:
    """A dataset from image files; `statistics` are its known mean and std, taken from the training images if None."""
    needed = (len(train.paths) + len(test.paths)) * 3 * size**2
    if needed > IN_MEMORY:
        splits, fingerprint, said = _on_demand(class_names, train, test, size, skip_bad_images)
    else:
        splits, fingerprint, said = _in_memory(class_names, train, test, size, skip_bad_images)
    for kind, split in zip(("training", "test"), splits, strict=True):
        counts = torch.bincount(split.targets, minlength=len(class_names))
        if int(counts.min()) == 0:
            empty = class_names[int(counts.argmin())]
            raise InputError(f"class {empty!r} of {name} has no {kind} image that can be read")
    mean, std = statistics or mean_and_std(splits[0])
    return RealData(name, tuple(class_names), size, mean, std, *splits, fingerprint, (*notes, *said))


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
        total.update(split.targets.numpy().tobytes())
        total.update(split.images.contiguous().numpy().tobytes())
    return total.hexdigest()


def _on_demand(
    class_names: Sequence[str], train: Files, test: Files, size: int, skip_bad_images: bool
) -> tuple[tuple[Split, Split], str, tuple[str, ...]]:
    report = ReadingReport()
    splits = []
    for files in (train, test):
        paths, targets = files.paths, files.targets
        if skip_bad_images:
            good = [place for place, path in enumerate(paths) if _readable(path, report)]
            paths, targets = [paths[i] for i in good], [targets[i] for i in good]
        splits.append(FileSplit(paths, torch.tensor(targets), size))
    # Too much to hash: names, sizes and times stand for the content.
    fingerprint = digest([list(class_names), size, _listing(train), _listing(test), report.skipped])
    return (splits[0], splits[1]), fingerprint, report.notes()


def _readable(path: Path, report: ReadingReport) -> bool:
    try:
        decode(path, report)
    except InputError:
        report.skipped.append(str(path))
        return False
    return True


def _in_memory(
    class_names: Sequence[str], train: Files, test: Files, size: int, skip_bad_images: bool
) -> tuple[tuple[Split, Split], str, tuple[str, ...]]:
    key = digest([list(class_names), size, skip_bad_images, _listing(train), _listing(test)])[:24]
    cache = default_store() / "decoded" / f"{key}.safetensors"
    found = _read_cache(cache)
    if found is None:
        report = ReadingReport()
        tensors: dict[str, Tensor] = {}
        for kind, files in (("train", train), ("test", test)):
            images, kept = decode_all(files.paths, size, report, skip_bad_images)
            tensors |= {f"{kind}.images": images, f"{kind}.kept": kept}
        found = tensors, report.notes()
        _write_cache(cache, *found)
    decoded, notes = found
    splits = []
    for kind, files in (("train", train), ("test", test)):
        kept = decoded[f"{kind}.kept"]
        paths = [files.paths[i] for i in kept.tolist()]
        splits.append(OriginalsSplit(decoded[f"{kind}.images"], torch.tensor(files.targets)[kept], paths))
    return (splits[0], splits[1]), fingerprint_of(class_names, *splits), notes


def _listing(files: Files) -> list[tuple[str, int, int, int]]:
    stats = [path.stat() for path in files.paths]
    return [
        (f"{path.parent.name}/{path.name}", target, stat.st_size, stat.st_mtime_ns)
        for path, target, stat in zip(files.paths, files.targets, stats, strict=True)
    ]


def _read_cache(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]] | None:
    """The decoded images with their notes; None where there are none or their checksum is another."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, ValueError, safetensors.SafetensorError):
        return None
    return (tensors, tuple(about["notes"])) if about["checksum"] == _checksum(tensors) else None


def _write_cache(path: Path, tensors: dict[str, Tensor], notes: tuple[str, ...]) -> None:
    """Keep decoded images; a place that cannot be written only costs the next run its time."""
    about = {METADATA: json.dumps({"notes": notes, "checksum": _checksum(tensors)})}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        os.close(descriptor)
        safetensors.torch.save_file(tensors, temporary, metadata=about)
        Path(temporary).replace(path)
    except (OSError, safetensors.SafetensorError):
        return


def _checksum(tensors: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()
