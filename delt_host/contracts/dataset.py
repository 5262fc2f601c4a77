"""What every dataset gives the host: class names in order, a training and a test split, normalisation, image size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.component import Component
from delt_host.contracts.reader import ImageReader
from delt_host.contracts.services import NO_SERVICES, Services

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of the training images' RGB values in 0..1, as torchvision has it."""
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Beside `IMAGENET_MEAN`."""


class Split(ImageReader):
    """A training or test split; `read` gives images at the dataset's image size."""

    def original(self, index: int) -> Tensor:
        """One image at its own resolution, uint8 RGB (3, H, W); patches are cut from this."""
        return self.read(torch.tensor([index]))[0]

    def of_class(self, label: int) -> Tensor:
        """The indices (n,) of the images of one class, in the split's order."""
        return torch.nonzero(self.targets == label).flatten()

    def part(self, places: Tensor, scored: bool = False) -> Split:
        """The images at these `places` (n,), in this order, as a split; of what is `scored`, tests read all again and again."""
        return PartOf(self, places)


class PartOf(Split):
    """The images of a split at these `places` (n,), in this order."""

    def __init__(self, split: Split, places: Tensor) -> None:
        self.split, self.places = split, places
        self.targets = split.targets[places]

    def read(self, indices: Tensor) -> Tensor:
        return self.split.read(self.places[indices])

    def original(self, index: int) -> Tensor:
        return self.split.original(int(self.places[index]))


class MemorySplit(Split):
    """A split that lies in memory: `images` (N, 3, S, S) uint8 RGB, and `targets` (N,), whole numbers.

    ValueError where they are not.
    """

    def __init__(self, images: Tensor, targets: Tensor) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be uint8 (N, 3, S, S), not {images.dtype} {tuple(images.shape)}")
        if len(images) != len(targets):
            raise ValueError(f"{len(images)} images but {len(targets)} targets")
        self.images = images
        self.targets = targets.to(torch.int64)

    def read(self, indices: Tensor) -> Tensor:
        return self.images[indices]

    def part(self, places: Tensor, scored: bool = False) -> Split:
        """The images at `places` (n,), in memory likewise; a subclass without a part of its own keeps what it knows of them."""
        return (
            MemorySplit(self.images[places], self.targets[places])
            if type(self) is MemorySplit
            else super().part(places)
        )


class UnreadSplit(Split):
    """Class indices (N,) of images that nobody has looked at."""

    def __init__(self, targets: Tensor) -> None:
        self.targets = targets

    def read(self, indices: Tensor) -> Tensor:
        """RunError in place of the images at `indices` (B,), (B, 3, S, S)."""
        raise RunError("images are not read in a dry run of data that are not indexed")


class FirstOfEach(Split):
    """The first `count` images of each class of a split, in its order, class by class; all of a class that has fewer."""

    def __init__(self, split: Split, count: int) -> None:
        self.split = split
        self.places = torch.cat([split.of_class(int(label))[:count] for label in split.targets.unique()])
        self.targets = split.targets[self.places]

    def read(self, indices: Tensor) -> Tensor:
        return self.split.read(self.places[indices])


@dataclass(frozen=True, repr=False)
class RealData(Brief):
    """A loaded dataset."""

    name: str
    """As tables, notes and the results say it."""
    class_names: tuple[str, ...]
    """In the order of the targets."""
    image_size: int
    """S: pixels a side."""
    mean: tuple[float, float, float]
    """Of the training images' RGB values in 0..1."""
    std: tuple[float, float, float]
    """Likewise."""
    train: Split
    """What teachers, initializers and matchers see."""
    test: Split
    """What students and teachers are scored on, and nothing is chosen by; sealed where there is a `validation` split."""
    fingerprint: str
    """SHA-256 that changes when images, labels or class names change; part of every store key."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, e.g. 'converted to RGB: 12 grey, 3 palette images'."""
    unread: str = ""
    """Why nobody has looked at the images, in a sentence, where a dry run would have waited for that: classes and counts are
    known, about, and nothing else. Empty: they were looked at."""
    validation: Split | None = None
    """Training images that are held out, `--validate`: what is scored is scored on these, and `test` raises RunError."""

    @property
    def scored(self) -> Split:
        """What students and teachers are scored on: the test images, or those of the training images that are held out."""
        return self.test if self.validation is None else self.validation

    @property
    def split(self) -> Literal["test", "validation"]:
        """Which of them `scored` is."""
        return "test" if self.validation is None else "validation"

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.class_names)

    @property
    def summary(self) -> str:
        """How much there is, in a line."""
        return f"{self.num_classes} classes, {len(self.train)} training and {len(self.scored)} {self.split} images"

    def checked(self) -> RealData:
        """Itself; InputError where a class has no training image, or none to test with."""
        check_classes(self.name, self.class_names, self.train, self.scored)
        return self


def check_classes(name: str, class_names: Sequence[str], train: Split, test: Split) -> None:
    """InputError where a class of a dataset has no training image, or none to test with."""
    for kind, split in (("training", train), ("test", test)):
        counts = torch.bincount(split.targets, minlength=len(class_names))
        if int(counts.min()) == 0:
            empty = class_names[int(counts.argmin())]
            raise InputError(f"class {empty!r} of {name} has no {kind} image that can be read")


class Dataset(Component):
    """A dataset's options (where it lies, its image size); `load` reads it."""

    location: ClassVar[str] = ""
    """The option that ``--dataset NAME:VALUE`` sets; empty where there is none."""
    reported: ClassVar[bool] = True
    """Whether papers report on it, or on the like, so that tables say which share of a published budget was spent."""

    @property
    def published_as(self) -> str:
        """The name under which methods and protocols have published settings for it; empty: the dataset's own."""
        return ""

    @property
    def suggested(self) -> Mapping[str, Any]:
        """Run options that suit this dataset, as ``{"teacher.epochs": 5}``: they go before a method's general
        settings, and after its published ones for this dataset and whatever the user says."""
        return {}

    @abstractmethod
    def load(self, services: Services = NO_SERVICES) -> RealData:
        """Read (or download) the dataset. `services.observer` hears of what takes long; `services.store`, if any, keeps what
        took long for the next run (`Store.make`).

        InputError names the file or folder that is wrong.
        """
