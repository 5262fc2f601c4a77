"""Squeezers, datasets, methods, regimes, networks and observers that break a promise."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import nn

from broken import BREAKS, breaks
from delt_host import (
    Dataset,
    MemorySplit,
    Method,
    Observer,
    RealData,
    Regime,
    Squeezer,
    use,
)
from delt_plugins.squeezers.ordinary import Ordinary

# Squeezers


@breaks("no snapshot, and the last one is the teacher")
class NoSnapshot(Squeezer):
    def train(self, data, compute, models, checkpoint, progress):
        yield from ()


@breaks("looks at problem.data.test", epochs=1)
class OnTestTrained(Ordinary):
    def train(self, data, compute, models, checkpoint, progress):
        return super().train(replace(data, train=data.test), compute, models, checkpoint, progress)


@breaks("progress was told of 0", epochs=1)
class Untold(Ordinary):
    def train(self, data, compute, models, checkpoint, progress):
        return super().train(data, compute, models, checkpoint, lambda _done, _losses: None)


# Datasets


class Sixteen(Dataset):
    """Two classes of eight images each."""

    size: int = Field(8, ge=1)
    """Pixels."""

    def parts(self) -> dict[str, Any]:
        images = torch.arange(16 * 3 * 64).view(16, 3, 8, 8).remainder(251).to(torch.uint8)
        split, test = (MemorySplit(each, torch.arange(16) % 2) for each in (images, 255 - images))
        return {"name": "sixteen", "class_names": ("a", "b"), "image_size": 8, "mean": (0.5,) * 3, "std": (0.2,) * 3,
                "train": split, "test": test, "fingerprint": "one"}  # fmt: skip

    def load(self, *_services: Any) -> RealData:
        return RealData(**self.parts())


@breaks("test has no image of class 'b'")
class NoTest(Sixteen):
    def parts(self):
        return super().parts() | {"test": MemorySplit(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4))}


@breaks("the fingerprint is another one when it is loaded again")
class NewPrint(Sixteen):
    def parts(self):
        return super().parts() | {"fingerprint": str(time.perf_counter())}


@breaks("std is (0.0, 0.0, 0.0), not three finite numbers above 0")
class NoSpread(Sixteen):
    def parts(self):
        return super().parts() | {"std": (0.0,) * 3}


@breaks("train.read() gives (16, 3, 8, 8), not (16, 3, 9, 9)")
class OtherSize(Sixteen):
    def parts(self):
        return super().parts() | {"image_size": 9}


@breaks("another size makes other images or targets under the same fingerprint")
class OnePrint(Sixteen):
    def parts(self):
        return super().parts() | {
            "test": MemorySplit(torch.full((16, 3, 8, 8), self.size, dtype=torch.uint8), torch.arange(16) % 2)
        }


@breaks("train and test share their images: all 16")
class TrainIsTest(Sixteen):
    def parts(self):
        return super().parts() | {"test": super().parts()["train"]}


# Methods, regimes, networks, observers

BREAKS += [
    (Method(summary="", initializer=use("nosuch")), "unknown initializer 'nosuch'"),
    (Method(summary="", initializer=use("real", nosuch=1)), "initializer real has no option 'nosuch'"),
    (
        Method(
            summary="",
            initializer=use("real"),
            scheduler=use("constant"),
            datasets={"cifar10": {"scheduler.nosuch": 1}},
        ),
        "on cifar10 it sets scheduler.nosuch, which scheduler constant has not",
    ),
    (Regime(summary="", relabeler=use("hard"), protocol=use("nosuch")), "unknown protocol 'nosuch'"),
]


def five_classes(classes: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 5))


def no_network(classes: int, size: int) -> object:
    return lambda images: torch.zeros(len(images), classes)


def by_batch(classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(3 * size * size, track_running_stats=False), nn.Linear(3 * size * size, classes)
    )


BREAKS += [
    (five_classes, "gives (2, 5) for two images, not (2, 10): it is no classifier"),
    (no_network, "model it makes a function, not a torch.nn.Module"),
    (by_batch, "in eval mode an image's logits depend on the images beside it"),
]


class NoFailures(Observer):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scored(self, score, images):
        images.read(torch.arange(1))


class NoFolder(Observer):
    def __init__(self) -> None:
        pass


BREAKS += [
    (NoFailures, "it raised AttributeError: 'NoneType' object has no attribute 'read'"),
    (NoFolder, "it raised TypeError"),
]
