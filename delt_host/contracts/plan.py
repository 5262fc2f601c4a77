"""A plan: what is learned of which images, which are optimised together, when each joins, at what rate and crop, as plain data.

It is made before anything runs, so its cost is exact, it can be printed, hashed and sent to another machine. It counts units,
which is what a form stores: images, where they are stored as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from delt_host.images.siamese import parse_strategy

What = Literal["images", "labels", "learning_rate"]
"""What may be learned: the images, as their form optimises them; a label for each unit, as logits; the students' rate."""

Shape = Literal["constant", "linear", "cosine", "half-cosine", "step"]
"""How a value goes from its start to its end."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(_Data):
    """A value that changes over the iterations of a plan.

    With p = (t - origin) / span in [0, 1], `cosine` is ``stop + (start - stop) * (1 + cos(pi p)) / 2``, `half-cosine`
    the same over half a period (it ends midway), `linear` goes straight, `step` holds `start` until the span is
    over, `constant` is always `stop`. After the span the value is that at p = 1.
    """

    shape: Shape
    """How it goes from one to the other."""
    start: float
    """The value at p = 0."""
    stop: float
    """The value at p = 1."""
    span: float = Field(gt=0)
    """Iterations from `start` to `stop`."""
    origin: int = 0
    """The iteration at which it starts to change; before it p is 0."""

    @classmethod
    def constant(cls, value: float) -> Curve:
        """The same value always."""
        return cls(shape="constant", start=value, stop=value, span=1)

    def at(self, t: int) -> float:
        """The value at iteration `t`, counted from 0 over all phases of the group."""
        p = min(max((t - self.origin) / self.span, 0.0), 1.0)
        if self.shape == "constant":
            return self.stop
        if self.shape == "step":
            return self.start if p < 1 else self.stop
        if self.shape == "linear":
            return self.stop + (self.start - self.stop) * (1 - p)
        half = 2 if self.shape == "half-cosine" else 1
        return self.stop + (self.start - self.stop) * (1 + math.cos(math.pi * p / half)) / 2


OPTIONS: dict[str, dict[str, Any]] = {
    "adam": {"betas": (0.5, 0.9), "eps": 1e-8},  # SRe2L and all its successors
    "sgd": {"momentum": 0.0},
}
"""The optimisers, each with its options as they are unless given."""


class Learned(_Data):
    """Something that is learned, and how."""

    what: What
    """One of the three."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """What takes the steps."""
    options: Mapping[str, float | tuple[float, float]] = Field(default_factory=dict)
    """`betas` and `eps` of Adam, `momentum` of SGD; those left out are as in `OPTIONS`."""
    clip: float = Field(0.0, ge=0)
    """Gradients whose norm, over all units of a group, is above this are shortened to it; 0: none."""
    average: float = Field(0.0, ge=0, lt=1)
    """Decay of an exponential moving average over the iterations, which is what is kept at the end; 0: the last is kept."""
    start: float | None = None
    """The first learning rate; of labels, what their own class's logit starts at, all others at 0. Not needed where the
    initializer gives one."""

    @model_validator(mode="after")
    def _options_are_the_optimizers(self) -> Learned:
        known = OPTIONS[self.optimizer]
        if wrong := sorted(set(self.options) - set(known)):
            raise ValueError(f"{self.optimizer} has no option {wrong[0]!r} (options: {', '.join(known)})")
        if self.what == "images" and self.start is not None:
            raise ValueError("images start as the initializer makes them; `start` is for labels and learning_rate")
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """All options of the optimiser."""
        return {**OPTIONS[self.optimizer], **self.options}


class Phase(_Data):
    """`iterations` steps of the first `active` units of a group."""

    active: int = Field(gt=0)
    """The group's first so many units are optimised."""
    iterations: int = Field(gt=0)
    """Steps; those of the phase before go on counting."""
    rates: Mapping[What, Curve] = Field(min_length=1)
    """What is learned in this phase, and at which rate."""
    min_crop: Curve = Curve.constant(1.0)
    """Lower end of the crop's share of the image area; the upper end is 1."""
    turns: Literal["together", "by class"] = "together"
    """`together`: one step an iteration, on all active units; `by class`: a step after each class, on its active units
    alone and on the iteration's one network."""


class Group(_Data):
    """Images optimised in one batch, which is what BatchNorm statistics see: a boundary here is part of the mathematics."""

    images: tuple[int, ...]
    """Places of its units in the set, in the order in which they join: a phase's active units are a prefix."""
    phases: tuple[Phase, ...]
    """One after the other; none has fewer active units than the one before."""

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
        """Of all phases."""
        return sum(phase.iterations for phase in self.phases)

    @property
    def image_iterations(self) -> int:
        """The sum over iterations of the number of units optimised."""
        return sum(phase.active * phase.iterations for phase in self.phases)


class Plan(_Data):
    """Independent groups and what holds for all of them."""

    groups: tuple[Group, ...]
    """Each unit is in at most one; one that is in none stays as it started."""
    learns: tuple[Learned, ...] = (Learned(what="images"),)
    """How each thing is learned that a phase learns."""
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
    siamese: str = ""
    """Operations of DSA, as in ``color_crop_cutout_flip_scale_rotate``, one of them drawn for each step of a group and given
    once more to real images by `Views.augment`; empty: none."""
    moments: Literal["shared", "fresh"] = "shared"
    """`shared`: one Adam step count for the group, so a joiner's moments start at zero without bias correction, as in
    the published code; `fresh`: each image counts its own steps."""

    residual: float = Field(0.0, ge=0, lt=1)
    """The share of the starting image in the final one: ``(1 - residual) * recovered + residual * start``."""

    @model_validator(mode="after")
    def _what_is_learned_is_described(self) -> Plan:
        described = [each.what for each in self.learns]
        if len(set(described)) < len(described):
            raise ValueError("`learns` describes one thing twice")
        learned = {what for group in self.groups for phase in group.phases for what in phase.rates}
        if missing := sorted(learned - set(described)):
            raise ValueError(
                f"a phase learns {missing[0]}, which `learns` does not describe: add Learned(what={missing[0]!r})"
            )
        if "learning_rate" in learned and len(self.groups) > 1:
            raise ValueError("a learned rate is one for the whole set: put all units into one group")
        if self.siamese:
            parse_strategy(self.siamese)
        return self

    def learned(self, what: What) -> Learned | None:
        """How that is learned; None where nothing says so."""
        return next((each for each in self.learns if each.what == what), None)

    @property
    def image_iterations(self) -> int:
        """The plan's exact cost: the sum over iterations of the number of units optimised."""
        return sum(group.image_iterations for group in self.groups)

    @property
    def iterations(self) -> int:
        """Of all groups."""
        return sum(group.iterations for group in self.groups)
