"""Schedules that optimise pixels: what they share, and SRe2L's, which optimises all images of a group all the time."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from delt_host import Curve, Group, Learned, Phase, Plan, Problem, Scheduler, Shape
from delt_host.toolbox import parse_strategy

SMALLEST_CROP = 0.08  # RandomResizedCrop's default, which SRe2L, CDA and DELT all end at
TENTHS = 10


class Optimization(Scheduler):
    """Options that all schedulers which optimise pixels share: learning rate, crop curriculum, flip and roll."""

    iterations: int = Field(4000, ge=0)
    """T. At 0 nothing is optimised."""
    learning_rate: float = Field(0.25, gt=0)
    """The rate at the first iteration, in normalised space."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """What steps the pixels: Adam with moments 0.5 and 0.9, as SRe2L and its successors have it, or SGD, as DM has it."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Of SGD."""
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
    order: Literal["rank", "class", "tenths"] = "rank"
    """`rank`: a group holds one image of each of many classes (SRe2L); `class`: consecutive images of few classes; `tenths`: a
    tenth of the images of each class, one class after the other, and then the next tenth (G-VBSM on Tiny-ImageNet)."""
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
        parts = {"rank": units, "class": 1, "tenths": min(TENTHS, units)}[self.order]
        bounds = pairwise(units * part // parts for part in range(parts + 1))
        lines = [[c * units + rank for c in range(classes) for rank in range(*part)] for part in bounds]
        if self.order == "tenths":  # published groups go on from one tenth to the next
            lines = [[place for line in lines for place in line]]
        return [line[i : i + size] for line in lines for i in range(0, len(line), size)]

    def stretched(self, share: float) -> Optimization:
        return self.with_iterations(max(round(self.iterations * share), 1))

    def with_iterations(self, iterations: int, **others: int) -> Optimization:
        """The same at T = `iterations`, validated anew."""
        return type(self)(**{**self.model_dump(), "iterations": iterations, **others})

    def assemble(self, problem: Problem, groups: list[Group]) -> Plan:
        roll = (0, problem.image_size // 7) if self.roll == "scaled" else self.roll
        crop = self.crop if self.crop in ("pad", "none") else "resized"
        options = {"momentum": self.momentum} if self.optimizer == "sgd" else {}
        return Plan(
            groups=tuple(groups),
            learns=(Learned(what="images", optimizer=self.optimizer, options=options),),
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
