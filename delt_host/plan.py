"""A plan: which images are optimised together, when each joins, and at what learning rate and crop, as plain data.

It is made before anything runs, so its cost is exact, it can be printed, hashed and sent to another machine.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Shape = Literal["constant", "linear", "cosine", "half-cosine", "step"]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Curve(_Data):
    """A value that changes over the iterations of a plan.

    With p = (t - origin) / span in [0, 1], `cosine` is ``stop + (start - stop) * (1 + cos(pi p)) / 2``, `half-cosine`
    the same over half a period (it ends midway), `linear` goes straight, `step` holds `start` until the span is
    over, `constant` is always `stop`. After the span the value is that at p = 1.
    """

    shape: Shape
    start: float
    stop: float
    span: float = Field(gt=0)
    origin: int = 0

    def at(self, t: int) -> float:
        p = min(max((t - self.origin) / self.span, 0.0), 1.0)
        if self.shape == "constant":
            return self.stop
        if self.shape == "step":
            return self.start if p < 1 else self.stop
        if self.shape == "linear":
            return self.stop + (self.start - self.stop) * (1 - p)
        half = 2 if self.shape == "half-cosine" else 1
        return self.stop + (self.start - self.stop) * (1 + math.cos(math.pi * p / half)) / 2


class Phase(_Data):
    """`iterations` steps of the first `active` images of a group."""

    active: int = Field(gt=0)
    iterations: int = Field(gt=0)
    learning_rate: Curve
    min_crop: Curve
    """Lower end of the crop's share of the image area; the upper end is 1."""


class Group(_Data):
    """Images optimised in one batch, which is what BatchNorm statistics see: a boundary here is part of the mathematics."""

    images: tuple[int, ...]
    """Indices into the initialised images, in the order in which they join: a phase's active images are a prefix."""
    phases: tuple[Phase, ...]

    @model_validator(mode="after")
    def _active_images_exist(self) -> Group:
        for earlier, later in zip(self.phases, self.phases[1:], strict=False):
            if later.active < earlier.active:
                raise ValueError("a phase has fewer active images than the one before it")
        if self.phases and self.phases[-1].active > len(self.images):
            raise ValueError(f"a phase has {self.phases[-1].active} active images, the group {len(self.images)}")
        return self

    @property
    def iterations(self) -> int:
        return sum(phase.iterations for phase in self.phases)

    @property
    def image_iterations(self) -> int:
        return sum(phase.active * phase.iterations for phase in self.phases)


class Plan(_Data):
    """Independent groups and what holds for all of them."""

    groups: tuple[Group, ...]
    crop: Literal["resized", "pad", "none"] = "resized"
    """What is drawn each iteration: a random resized crop; `pad`: a crop of the image padded by an eighth with zeros, as
    G-VBSM has it on small images; `none`: the whole image."""
    flip: bool = True
    """Mirror with probability one half, drawn each iteration."""
    roll: tuple[int, int] = (0, 0)
    """Range, both ends included, of the circular shift in pixels drawn each iteration."""
    views: Literal["group", "image"] = "group"
    """`group`: crop, mirror and shift are drawn once for the whole group, as SRe2L and all its successors publish
    them; `image`: each image has its own."""
    moments: Literal["shared", "fresh"] = "shared"
    """`shared`: one Adam step count for the group, so a joiner's moments start at zero without bias correction, as in
    the published code; `fresh`: each image counts its own steps."""

    residual: float = Field(0.0, ge=0, lt=1)
    """The share of the starting image in the final one: ``(1 - residual) * recovered + residual * start``."""

    @property
    def image_iterations(self) -> int:
        """The plan's exact cost: the sum over iterations of the number of images optimised."""
        return sum(group.image_iterations for group in self.groups)

    @property
    def iterations(self) -> int:
        return sum(group.iterations for group in self.groups)
