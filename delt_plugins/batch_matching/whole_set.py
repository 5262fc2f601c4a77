"""The schedule of batch matching: the whole set, all iterations."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from delt_host import Curve, Group, Learned, Phase, Plan, Problem, Scheduler
from delt_host.toolbox import parse_strategy


class WholeSet(Scheduler):
    """One group of all units, all of them optimised in every iteration; nothing is cropped, mirrored or rolled but by DSA."""

    source: ClassVar[str] = "DC, algorithm 1; DSA, section 3.2; IDC, algorithm 1"

    iterations: int = Field(1000, ge=0)
    """T: networks that the set is matched at. At 0 nothing is optimised."""
    learning_rate: float = Field(0.1, gt=0)
    """Of the images, in normalised space: a rate r of pixels in 0..1 is r / std² here."""
    optimizer: Literal["adam", "sgd"] = "sgd"
    """What steps the pixels."""
    momentum: float = Field(0.5, ge=0, lt=1)
    """Of SGD."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of Adam."""
    decay: Literal["constant", "cosine"] = "constant"
    """Whether the rate stays, or falls to 0 over the iterations."""
    turns: Literal["together", "by class"] = "by class"
    """`by class`: a step after each class, at the iteration's one network, with a draw of DSA's of its own. A loss that is a
    sum over classes, as those of batch matching are, cross-entropies included, has the same steps so as together; one of all
    classes at once, `contrastive_from` of gradients, takes them together."""
    siamese: str = ""
    """Operations of DSA, as in color_crop_cutout_flip_scale_rotate, one of them drawn for each step and given to real images
    too; empty: none."""

    @field_validator("siamese")
    @classmethod
    def _siamese_is_one(cls, given: str) -> str:
        if given:
            parse_strategy(given)
        return given

    def stretched(self, share: float) -> WholeSet:
        return type(self)(**{**self.model_dump(), "iterations": max(round(self.iterations * share), 1)})

    def plan(self, problem: Problem) -> Plan:
        rate = Curve.constant(self.learning_rate)
        if self.decay == "cosine":
            rate = Curve(shape="cosine", start=self.learning_rate, stop=0.0, span=max(self.iterations, 1))
        units = tuple(range(problem.num_units))
        phase = Phase(active=len(units), iterations=max(self.iterations, 1), rates={"images": rate}, turns=self.turns)
        options = {"momentum": self.momentum} if self.optimizer == "sgd" else {"betas": self.betas}
        return Plan(
            groups=(Group(images=units, phases=(phase,)),) if self.iterations else (),
            learns=(Learned(what="images", optimizer=self.optimizer, options=options),),
            crop="none",
            flip=False,
            siamese=self.siamese,
        )
