"""A dataset from images that lie in memory: statistics and fingerprint are worked out here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor

from delt_host.basics.ahead import ahead
from delt_host.contracts.dataset import MemorySplit, RealData, Split

SAMPLE = 1000  # images that mean and std are taken from where not all are in memory
AT_ONCE = 100  # 15 MB of images at 224 px

Channels = tuple[float, float, float]


def in_memory(
    name: str, class_names: Sequence[str], train: MemorySplit, test: MemorySplit, notes: Sequence[str] = ()
) -> RealData:
    """A dataset of square images of one size, checked, with mean and std of the training images and a fingerprint of all.

    InputError where a class has no training image, or none to test with.
    """
    mean, std = mean_and_std(train)
    names = tuple(class_names)
    fingerprint = data_fingerprint(names, train, test)
    size = train.images.shape[-1]
    return RealData(name, names, size, mean, std, train, test, fingerprint, tuple(notes)).checked()


def mean_and_std(split: Split) -> tuple[Channels, Channels]:
    """Per-channel mean and std of RGB values in 0..1, of all images in memory or of an even sample of others."""
    indices = torch.arange(len(split))
    if not isinstance(split, MemorySplit) and len(split) > SAMPLE:
        indices = indices[:: len(split) // SAMPLE]
    # How often each channel has each level: exact however many images there are, and in whatever parts they come.
    levels, seen = torch.arange(256, dtype=torch.float64) / 255, torch.zeros(3, 256, dtype=torch.int64)
    for images in ahead(split.read(chunk) for chunk in indices.split(AT_ONCE)):
        seen += torch.stack([torch.bincount(images[:, channel].flatten(), minlength=256) for channel in range(3)])
    share = seen.double() / seen[0].sum()
    mean = share @ levels
    # A dataset of one colour has no spread to divide by.
    std = (share @ levels.square() - mean**2).clamp_min(0).sqrt().clamp_min(1e-3)
    (a, b, c), (d, e, f) = mean.tolist(), std.tolist()
    return (a, b, c), (d, e, f)


def data_fingerprint(class_names: Sequence[str], *splits: MemorySplit) -> str:
    """SHA-256 of class names, labels and pixels."""
    total = hashlib.sha256(json.dumps(list(class_names)).encode())
    for split in splits:
        _add(total, split.targets)
        _add(total, split.images)
    return total.hexdigest()


def _add(total: hashlib._Hash, tensor: Tensor) -> None:
    """Its elements' bytes, in order, without a copy where they lie in order already."""
    total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
