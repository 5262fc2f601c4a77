"""What the conformance kit asks of a dataset."""

from __future__ import annotations

import math
from typing import Any

import torch

from delt_host.data.base import Dataset, RealData, Split
from delt_host.problem import Problem

MOST = 256
"""Images of each split that are looked at."""


def results(dataset: Dataset, _problem: Problem) -> dict[str, Any]:
    data = dataset.load()
    some = torch.arange(min(len(data.train), MOST))
    return {"fingerprint": data.fingerprint, "images": data.train.read(some), "targets": data.train.targets}


def examine(dataset: Dataset, _problem: Problem) -> None:
    """uint8 images of one size and of every class in both splits, the same each time, with a fingerprint that repeats."""
    name, data = type(dataset).__name__, dataset.load()
    assert isinstance(data, RealData), f"{name}: load() gives a {type(data).__name__}, not a RealData"
    classes = data.class_names
    assert len(set(classes)) == len(classes) >= 2, (
        f"{name}: class names are {classes!r:.80}, not two or more different ones"
    )
    assert all(isinstance(each, str) and each for each in classes), f"{name}: some class names are not texts"
    for what, three in (("mean", data.mean), ("std", data.std)):
        sound = len(three) == 3 and all(math.isfinite(each) for each in three) and (what == "mean" or min(three) > 0)
        assert sound, (
            f"{name}: {what} is {three}, not three finite numbers{' above 0' * (what == 'std')}, one a channel"
        )
    for which, split in (("train", data.train), ("test", data.test)):
        _check_split(f"{name}: {which}", split, data)
    again = dataset.load()
    assert again.fingerprint == data.fingerprint, f"{name}: the fingerprint is another one when it is loaded again"
    some = torch.arange(min(len(data.train), MOST))
    assert torch.equal(again.train.read(some), data.train.read(some)), f"{name}: other images when it is loaded again"


def _check_split(name: str, split: Split, data: RealData) -> None:
    targets, size = split.targets, data.image_size
    assert targets.dtype == torch.int64 and targets.ndim == 1, f"{name}.targets are {targets.dtype}, not int64 (N,)"
    there = targets.unique().tolist()
    wrong = [label for label in there if not 0 <= label < data.num_classes]
    assert not wrong, f"{name}.targets name the class {wrong[:1]}, and there are {data.num_classes}, counted from 0"
    missing = sorted(set(range(data.num_classes)) - set(there))
    assert not missing, f"{name} has no image of class {data.class_names[missing[0]]!r}"
    some = torch.arange(min(len(split), MOST))
    images = split.read(some)
    wanted = (len(some), 3, size, size)
    assert images.dtype == torch.uint8, f"{name}.read() gives {images.dtype}, not uint8"
    assert tuple(images.shape) == wanted, f"{name}.read() gives {tuple(images.shape)}, not {wanted}"
    assert torch.equal(split.read(some.flip(0)).flip(0), images), (
        f"{name}.read() does not follow the order of the indices"
    )
    one = split.original(0)
    assert one.dtype == torch.uint8 and one.ndim == 3 and one.shape[0] == 3, f"{name}.original() is not uint8 (3, H, W)"
