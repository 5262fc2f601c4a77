"""What the conformance kit asks of a dataset."""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import Any

import torch

from delt_host import Dataset, Problem, RealData, Split
from delt_plugins.kit.small import VARIED, with_another

MOST = 256
"""Images of each split that are looked at."""
TRAINED = 20_000
"""Training images among which those of the test are looked for."""
FETCHING = ("download",)
"""Options of which no other value is tried: what it does is more than to give other images."""


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
    _check_apart(name, data)
    _check_fingerprint(name, dataset, data)


def _check_apart(name: str, data: RealData) -> None:
    """AssertionError where all test images that are looked at are training images, a warning where some are."""
    train, test = (_pictures(split, most) for split, most in ((data.train, TRAINED), (data.test, MOST)))
    known = set(train)
    both = sum(each in known for each in test)
    assert both < len(test), f"{name}: train and test share their images: all {both} of test that were looked at"
    if both:
        warnings.warn(f"{name}: {both} of {len(test)} images of test are in train too", stacklevel=4)


def _pictures(split: Split, most: int) -> list[bytes]:
    """Digests of an even sample of images."""
    places = torch.arange(len(split))[:: max(len(split) // most, 1)]
    return [
        hashlib.sha256(each.numpy().tobytes()).digest() for chunk in places.split(MOST) for each in split.read(chunk)
    ]


def _check_fingerprint(name: str, dataset: Dataset, data: RealData) -> None:
    """Under other options that make other images or targets the fingerprint is another one: it is a part of every key."""
    tried = 0
    for option in type(dataset).model_fields:
        other = None if option in FETCHING or tried == VARIED else with_another(dataset, option)
        if other is None:
            continue
        tried += 1
        try:
            made = other.load()
            differs = _looks(made) != _looks(data)
        except Exception:  # this value has no sense for it
            continue
        assert not differs or made.fingerprint != data.fingerprint, (
            f"{name}: another {option} makes other images or targets under the same fingerprint, so that results of the one "
            "would be taken for the other's; make it of the contents"
        )


def _looks(data: RealData) -> list[object]:
    splits = (data.train, data.test)
    return [(split.targets.tolist(), _pictures(split, MOST)) for split in splits]


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
