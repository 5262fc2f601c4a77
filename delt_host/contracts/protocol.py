"""Protocols: how students are trained and measured, as components. A score without one means nothing.

`fair` is the host's and the default: the same for every method, last epoch. What papers and repositories do instead, their
quirks as switches that are off elsewhere, comes from plugins.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from delt_host.basics import batching
from delt_host.contracts.component import Component
from delt_host.images.randaugment import parse_randaugment
from delt_host.images.siamese import parse_strategy
from delt_host.networks.named_optimizers import check_optimizer
from delt_host.store.entry import digest

Schedule = Literal["cosine", "half-cosine", "half-cosine-linear", "half-linear", "step", "constant"]
"""How a student's learning rate falls."""

Decayed = Literal["matrices", "weights", "all"]
"""Which of a student's parameters weight decay is for."""


class Sized(typing.Protocol):
    """What a protocol needs to know of a problem."""

    @property
    def ipc(self) -> int: ...
    @property
    def num_classes(self) -> int: ...


class Protocol(Component):
    """How students are trained and measured. Every set of a comparison gets the optimiser steps that IPC raw images give."""

    version: ClassVar[int] = 1
    """Raised when what it stands for changes."""
    datasets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What is published for single datasets, as ``{"cifar10": {"epochs": 1000}}``, for one IPC on all as ``{"ipc 1": {…}}``,
    for both as ``{"cifar10 ipc 1": {…}}``, and for a student on a dataset, by its network's name, as
    ``{"cifar10 resnet18": {…}}``, the later before the earlier."""

    epochs: int = Field(300, ge=1)
    """Over as many images as IPC says: a set of more images takes as many steps, and so fewer epochs."""
    steps: int = Field(0, ge=0)
    """Optimiser steps in all; 0: as `epochs` says."""
    batch_size: int = Field(0, ge=0)
    """0: as `batch_share` says. Never more than the images that IPC says."""
    batch_share: float = Field(0.0, ge=0, le=1)
    """The share of the images in a batch, 10 to 100 of them; 0: RDED's rule, 10 at IPC 1, 50 below IPC 30, else 100."""
    batch_size_doubled_from: int = Field(0, ge=0)
    """RDED doubles its batch for datasets of at least this many classes; 0: never."""
    accumulate: int = Field(1, ge=1)
    """Parts of a batch that pass one after the other before the optimiser steps, of two images at least: BatchNorm sees a part
    of the images. The loss of each is divided by the parts of a whole batch, also where the last batch has fewer."""
    optimizer: str = "adamw"
    """adamw, sgd, or any optimizer of timm's by its name."""
    optimizer_options: dict[str, Any] = Field(default_factory=dict)
    """What else the optimizer takes, {"betas": [0.9, 0.95]} for instance."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of the optimiser at first. A rate that was learned with the images goes before it where an image has one label."""
    student_learning_rates: dict[str, float] = Field(default_factory=dict)
    """Rates of single students, which go before `learning_rate`."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of optimizers that have one, sgd for instance."""
    weight_decay: float = Field(0.01, ge=0)
    """Of the optimiser."""
    decayed: Decayed = "matrices"
    """Which parameters weight decay is for: `matrices`, those of more than one dimension; `weights`, those of them that are
    called a weight, so no class token, position or bias table (SRe2L, RDED, G-VBSM); `all`."""
    schedule: Schedule = "half-cosine"
    """Stepped once an epoch; `half-cosine` ends at half the rate, as RDED's and DELT's code does; `half-linear` goes there in a
    straight line; `half-cosine-linear`: after five sixths of the epochs it drops to a sixth of what it is there, and goes
    straight to 0 (EDC's cos2); `step`: lower from each of the `milestones` on."""
    milestones: list[float] = Field(default=[0.5])
    """Where `step` lowers the rate, as shares of the epochs."""
    step_factor: float = Field(0.1, gt=0, le=1)
    """What the rate is multiplied by at each milestone."""
    step_restarts: bool = False
    """Whether the optimiser begins anew at each milestone, without its momentum (DSA)."""
    warmup_epochs: int = Field(0, ge=0)
    """The rate rises to the full one over so many epochs."""
    warmup_from: float = Field(0.0, ge=0, le=1)
    """The share of the rate in the first of these epochs, of which the first after them has all; 0: equal steps, and the last
    of these epochs has all."""
    average: float = Field(0.0, ge=0, lt=1)
    """Test the exponential moving average of the student's parameters, of this decay a step, with the student's own BatchNorm
    statistics (EDC: 0.99); 0: the student."""
    loss: Literal["kl", "mse"] = "kl"
    """`kl`: of the softened answers; `mse`: mean squared error of the logits (G-VBSM, EDC)."""
    hard_weight: float = Field(0.0, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss (G-VBSM, EDC)."""
    temperature: float = Field(20.0, gt=0)
    """What logits are divided by in `kl`."""
    multiply_by_temperature_squared: bool = False
    """Whether `kl` is multiplied by the square of the temperature."""
    crop: Literal["resized", "pad", "none"] = "resized"
    """`resized`: a part of the image, enlarged; `pad`: shifted by up to an eighth of the side."""
    min_crop: float = Field(0.08, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    flip: bool = True
    """Whether half of the views are mirrored."""
    mix: Literal["cutmix", "mixup", "none"] = "cutmix"
    """How two images of a batch become one view."""
    mix_alpha: float = Field(1.0, gt=0)
    """Both parameters of the Beta distribution of the mixture's share."""
    randaugment: str = ""
    """Of whole images, before they are cropped: timm's RandAugment as mMAGNITUDE-nOPERATIONS, m5-n4 for instance (DELT), or
    torchvision's, torchvision-m9-n2 with its defaults (EDC's small sets); empty: none."""
    shuffle_patches: int = Field(1, ge=1)
    """RDED's patch shuffling on a k x k grid; 1: none."""
    siamese: str = ""
    """DSA's augmentation of views: one operation a batch, of color_crop_cutout_flip_scale_rotate or some of these."""
    evaluate_every: int = Field(0, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    evaluate_counted_from: int = Field(1, ge=0, le=1)
    """Which are tested of every ten epochs, from 0 on: 1, the last, so 9, 19, …; 0, the first, so 0, 10, … (most code)."""
    evaluate_after: float = Field(0.0, ge=0, le=1)
    """The share of the epochs up to which none is tested (RDED: 0.8)."""
    test_images: int = Field(0, ge=0)
    """Test students on the first so many test images of each class, in the dataset's order; 0: on all."""
    test_zoom: bool = False
    """Students are tested on the centres of enlarged images, 64 px of 72, although files have the size asked for (RDED, DELT);
    those of another size are read so anyway."""
    report: Literal["last", "best"] = "last"
    """`best` picks the epoch on the test set: legacy only."""
    legacy_double_forward: bool = False
    """RDED, DELT: every batch passes the student twice in train mode, so BatchNorm's averages move twice."""
    legacy_imagenet_normalization: bool = False
    """RDED, DELT: students see ImageNet's mean and std whatever the teacher was trained with."""

    @classmethod
    def published(cls, dataset: str, ipc: int, students: Sequence[str] = ()) -> dict[str, Any]:
        """The published settings for a dataset at an IPC; those of a student where it is the only one, as a column has one."""
        keys = [dataset, f"ipc {ipc}", f"{dataset} ipc {ipc}"]
        keys += [f"{dataset} {student}" for student in students if len(students) == 1]
        return {option: value for key in keys for option, value in cls.datasets.get(key, {}).items()}

    @field_validator("milestones")
    @classmethod
    def _milestones_are_shares(cls, value: list[float]) -> list[float]:
        if not all(0 < share < 1 for share in value):
            raise ValueError(f"{value} are not shares of the epochs, between 0 and 1")
        return value

    @field_validator("randaugment")
    @classmethod
    def _randaugment_is_readable(cls, value: str) -> str:
        if value:
            parse_randaugment(value)
        return value

    @field_validator("siamese")
    @classmethod
    def _siamese_is_readable(cls, value: str) -> str:
        if value:
            parse_strategy(value)
        return value

    @model_validator(mode="after")
    def _optimizer_exists(self) -> Protocol:
        check_optimizer(self.optimizer, self.momentum, self.optimizer_options)
        return self

    @property
    def fingerprint(self) -> str:
        """Eight digits that differ whenever a setting does, and do not when options come that it leaves as they are."""
        usual, mine = Protocol().model_dump(mode="json"), self.model_dump(mode="json")
        return digest([self.version, {option: value for option, value in mine.items() if usual.get(option) != value}])[
            :8
        ]

    def view_settings(self) -> dict[str, Any]:
        """The settings that stored labels depend on: which views there are, in which batches, normalised how."""
        return {name: getattr(self, name) for name in VIEW_SETTINGS}

    def batch_for(self, ipc: int, num_classes: int) -> int:
        """Images in a training batch."""
        rded = 10 if ipc == 1 else 50 if ipc < 30 else 100
        share = min(max(round(self.batch_share * ipc * num_classes), 10), 100)
        size = self.batch_size or (share if self.batch_share else rded)
        if self.batch_size_doubled_from and num_classes >= self.batch_size_doubled_from:
            size *= 2
        return min(size, ipc * num_classes)

    def part_for(self, ipc: int, num_classes: int) -> int:
        """Images that pass the student at once; of one alone BatchNorm has no variance."""
        return max(math.ceil(self.batch_for(ipc, num_classes) / self.accumulate), 2)

    def steps_an_epoch(self, problem: Sized, count: int = 0) -> int:
        """Batches in an epoch of `count` images; 0: of as many as IPC says, which is the epoch that settings count in."""
        count = count or problem.ipc * problem.num_classes
        return batching.steps(count, self.batch_for(problem.ipc, problem.num_classes))

    def steps_for(self, problem: Sized) -> int:
        """Optimiser steps in all, whatever form the images are in."""
        return self.steps or self.epochs * self.steps_an_epoch(problem)

    def epochs_of(self, problem: Sized, count: int) -> int:
        """How often these steps go through a set of `count` images, the last time perhaps not to its end."""
        return math.ceil(self.steps_for(problem) / self.steps_an_epoch(problem, count))

    def views_of(self, problem: Sized, count: int) -> int:
        """How many views of a set of `count` images a student is trained on."""
        whole, rest = divmod(self.steps_for(problem), self.steps_an_epoch(problem, count))
        return whole * count + min(rest * self.batch_for(problem.ipc, problem.num_classes), count)

    def tests(self, epoch: int, epochs: float) -> bool:
        """Whether an epoch, counted from 0, is tested on the way; the last of the `epochs` is in any case."""
        if not self.evaluate_every or (epoch + self.evaluate_counted_from) % self.evaluate_every:
            return False
        return not self.evaluate_after or epoch > self.evaluate_after * epochs

    def learning_rate_for(self, student: str) -> float:
        """The base rate of a student."""
        return self.student_learning_rates.get(student, self.learning_rate)


VIEW_SETTINGS = (
    "epochs",
    "steps",
    "batch_size",
    "batch_share",
    "batch_size_doubled_from",
    "crop",
    "min_crop",
    "flip",
    "mix",
    "mix_alpha",
    "randaugment",
    "shuffle_patches",
    "siamese",
    "legacy_imagenet_normalization",
)


class Fair(Protocol):
    """The same for every method: half-cosine AdamW, crops, flips and CutMix, last epoch.

    Tested now and then, so that papers' best epoch stands beside the last one, which is what is reported. Batches of a fifth
    of the images: RDED's 50 of 100 leave a student two steps an epoch, under-trained after 300 of them.
    """

    version: ClassVar[int] = 2

    batch_share: float = Field(0.2, ge=0, le=1)
    """The share of the images in a batch, 10 to 100 of them; 0: RDED's rule, 10 at IPC 1, 50 below IPC 30, else 100."""
    evaluate_every: int = Field(100, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""


def titled(name: str, protocol: Protocol) -> str:
    """The name with its version and what differs from its defaults, e.g. `fair v2 (epochs=60)`."""
    changed = changed_options(type(protocol)(), protocol)
    return f"{name} v{protocol.version}" + (f" ({changed})" if changed else "")


def changed_options(base: BaseModel, changed: BaseModel) -> str:
    """`a=1, b=2` for the options in which two settings differ."""
    before, after = base.model_dump(), changed.model_dump()
    return ", ".join(f"{k}={v}" for k, v in after.items() if before[k] != v)
