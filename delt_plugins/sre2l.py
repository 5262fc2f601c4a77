"""SRe2L: squeeze, recover from noise by BatchNorm statistics, relabel (Yin et al., NeurIPS 2023, arXiv 2306.13092).

The parts that all its successors build on: Gaussian noise, the constant schedule, BatchNorm matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from delt_host import (
    Initializer,
    InputError,
    Match,
    Matcher,
    Method,
    Problem,
    Scheduler,
    Start,
    Views,
    hookimpl,
    use,
)
from delt_host.plan import Curve, Group, Phase, Plan, Shape
from delt_host.siamese import parse_strategy
from delt_host.statistics import batch_norms, recorded_moments, running_statistics

SMALLEST_CROP = 0.08  # RandomResizedCrop's default, which SRe2L, CDA and DELT all end at


class Noise(Initializer):
    """Independent standard normal pixels in normalised space."""

    source: ClassVar[str] = "SRe2L, recover scripts"

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        shape, count = (3, problem.image_size, problem.image_size), problem.count
        places = [label * count + nth for label in classes for nth in range(count)]  # of all classes' images
        return Start(torch.stack([torch.randn(shape, generator=problem.generator("noise", place)) for place in places]))


class Optimization(Scheduler):
    """Options that all schedulers which optimise pixels share: learning rate, crop curriculum, flip and roll."""

    iterations: int = Field(4000, ge=0)
    """T. At 0 nothing is optimised."""
    learning_rate: float = Field(0.25, gt=0)
    """Adam's rate at the first iteration, in normalised space."""
    decay: Shape = "cosine"
    """How the learning rate falls to 0 over the iterations."""
    crop: Shape | Literal["pad", "none"] = "constant"
    """How the crop's smallest area share goes from 1 to `min_crop`: CDA's curriculum; `constant`: `min_crop` always;
    `pad`: no resizing, a crop of the image padded by an eighth (G-VBSM on small images); `none`: the whole image."""
    min_crop: float = Field(SMALLEST_CROP, gt=0, le=1)
    """The lower end of the crop's share of the image area, once the curriculum has ended."""
    milestone: float = Field(1.0, gt=0, le=1)
    """The share of the iterations after which the crop curriculum has ended."""
    flip: bool = True
    """Mirror with probability one half."""
    roll: tuple[int, int] | Literal["scaled"] = (0, 0)
    """Range of the circular shift in pixels, both ends included; `scaled`: 0 to a seventh of the image's side, which
    is the published 32 px at 224 px and 4 px at 32 px."""
    views: Literal["group", "image"] = "group"
    """`group`: one crop, mirror and shift an iteration for the whole group, as published; `image`: one for each image."""
    siamese: str = ""
    """Operations of DSA, as in color_crop_cutout_flip_scale_rotate, one of them drawn for a whole group in each iteration;
    empty: none. Matchers that look at real images give them the same."""
    group_size: int = Field(100, ge=1)
    """Images optimised in one batch, over which BatchNorm statistics are taken."""
    order: Literal["rank", "class"] = "rank"
    """`rank`: a group holds one image of each of many classes (SRe2L); `class`: consecutive images of few classes."""
    residual: float = Field(0.0, ge=0, lt=1)
    """The share of the starting image that is blended back once recovery has ended. FADRM (arXiv 2506.24125) blends
    real images back several times while it runs."""

    @model_validator(mode="after")
    def _roll_and_siamese_are_ones(self) -> Optimization:
        if self.roll != "scaled" and self.roll[0] > self.roll[1]:
            raise ValueError(f"roll is a range (low, high), {self.roll[0]} is above {self.roll[1]}")
        if self.siamese:
            parse_strategy(self.siamese)
        return self

    def curves(self) -> tuple[Curve, Curve]:
        """Learning rate and smallest crop over the whole run."""
        rate = Curve(shape=self.decay, start=self.learning_rate, stop=0.0, span=self.iterations)
        if self.decay == "constant":
            rate = Curve(shape="constant", start=self.learning_rate, stop=self.learning_rate, span=self.iterations)
        shape = "constant" if self.crop in ("pad", "none") else self.crop
        crop = Curve(shape=shape, start=1.0, stop=self.min_crop, span=self.milestone * self.iterations)
        return rate, crop

    def batches(self, problem: Problem) -> list[list[int]]:
        """Places of the units of each group, for a set in class order."""
        classes, units, size = problem.num_classes, problem.units, self.group_size
        if self.order == "class":
            lines = [list(range(classes * units))]
        else:
            lines = [[c * units + rank for c in range(classes)] for rank in range(units)]
        return [line[i : i + size] for line in lines for i in range(0, len(line), size)]

    def stretched(self, share: float) -> Optimization:
        return self.with_iterations(max(round(self.iterations * share), 1))

    def with_iterations(self, iterations: int, **others: int) -> Optimization:
        """The same at T = `iterations`, validated anew."""
        return type(self)(**{**self.model_dump(), "iterations": iterations, **others})

    def assemble(self, problem: Problem, groups: list[Group]) -> Plan:
        roll = (0, problem.image_size // 7) if self.roll == "scaled" else self.roll
        crop = self.crop if self.crop in ("pad", "none") else "resized"
        return Plan(
            groups=tuple(groups),
            crop=crop,
            flip=self.flip,
            roll=roll,
            views=self.views,
            siamese=self.siamese,
            residual=self.residual,
        )


class Constant(Optimization):
    """All images of a group, all iterations."""

    source: ClassVar[str] = "SRe2L, recover scripts; the crop curriculum is CDA's"

    def plan(self, problem: Problem) -> Plan:
        if self.iterations == 0:
            return self.assemble(problem, [])
        rate, crop = self.curves()
        groups = [
            Group(
                images=tuple(images),
                phases=(Phase(active=len(images), iterations=self.iterations, rates={"images": rate}, min_crop=crop),),
            )
            for images in self.batches(problem)
        ]
        return self.assemble(problem, groups)


class BatchNormMatching(Matcher):
    """Cross-entropy, and the distance of batch statistics to the teacher's running ones in every BatchNorm layer.

    ``CE(f(x), y) + weight * sum_l m_l (||Var_l - RV_l||_2 + ||Mean_l - RM_l||_2)``: norms not squared, biased
    variance, m_0 = `first_layer`, other m_l = 1, statistics of the layers' inputs with the teacher in eval mode.
    """

    source: ClassVar[str] = "SRe2L, eq. 5 and recover scripts"
    stackable: ClassVar[bool] = True
    of_teachers: ClassVar[bool] = True

    weight: float = Field(0.01, ge=0)
    """The weight of the statistics (r_bn)."""
    first_layer: float = Field(10.0, ge=0)
    """The multiplier of the first BatchNorm layer."""

    def bind(self, problem: Problem) -> Match:
        network = problem.network
        layers = batch_norms(network)
        targets = [running_statistics(layer) for layer in layers]
        if not layers:
            raise InputError(
                f"matcher batch-norm needs a teacher with BatchNorm layers; {problem.teacher.architecture} has none"
            )

        def match(views: Views) -> dict[str, Tensor]:
            with recorded_moments(layers, views.groups) as moments, problem.compute.autocast():
                logits = network(views.images)
            entropy = F.cross_entropy(logits.float(), views.targets, reduction="none")
            mean_term = variance_term = torch.zeros(views.groups, device=entropy.device)
            pairs = zip(targets, moments, strict=True)
            for index, ((running_mean, running_var), (mean, variance)) in enumerate(pairs):
                scale = self.first_layer if index == 0 else 1.0
                mean_term = mean_term + scale * (mean - running_mean).norm(dim=1)
                variance_term = variance_term + scale * (variance - running_var).norm(dim=1)
            return {
                "cross-entropy": entropy.view(views.groups, -1).mean(dim=1),
                "mean": self.weight * mean_term,
                "variance": self.weight * variance_term,
            }

        return match


SRE2L = Method(
    summary="noise, constant schedule, BatchNorm statistics",
    source="Yin, Xing, Shen: Squeeze, Recover and Relabel, NeurIPS 2023, arXiv 2306.13092",
    initializer=use("noise"),
    scheduler=use("constant", roll="scaled"),
    matcher=use("batch-norm"),
    regime="fkd:sre2l",
    datasets={
        "tiny-imagenet": {
            "scheduler.learning_rate": 0.1,
            "matcher.weight": 1.0,
            "scheduler.roll": (-4, 4),
        },
        "cifar100": {
            "scheduler.iterations": 1000,
            "scheduler.crop": "none",
            "scheduler.flip": False,
            "scheduler.roll": (0, 4),
        },
        # SRe2L published nothing for these; CIFAR-10 takes CIFAR-100's settings, as later papers' tables do.
        "cifar10": {
            "scheduler.iterations": 1000,
            "scheduler.crop": "none",
            "scheduler.flip": False,
            "scheduler.roll": (0, 4),
        },
    },
)


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"noise": Noise}


@hookimpl
def delt_schedulers() -> dict[str, type[Scheduler]]:
    return {"constant": Constant}


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"batch-norm": BatchNormMatching}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"sre2l": SRE2L}
