"""A set while it is optimised: what its form optimises in place of pixels, and whatever else is learned with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host.basics.errors import RunError
from delt_host.contracts.initializer import Start
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem


@dataclass(frozen=True)
class Latents:
    """U units, in class order or in a group's own."""

    images: Mapping[str, Tensor]
    """What the form optimises, of U units each: `Form.latents`."""
    targets: Tensor
    """(U,) int64 class indices."""
    labels: Tensor | None = None
    """(U, C) float32 logits, where labels are learned."""
    learning_rate: Tensor | None = None
    """() float32: the students' rate, where it is learned."""
    units: Tensor | None = None
    """(U,) int64: the places in the set of the units that are here; None: all of them."""

    @classmethod
    def of(cls, problem: Problem, start: Start, units: Tensor | None = None) -> Latents:
        """What recovery starts from, for a start of all units, or of these alone (U,), in this order; normalised where it is
        not."""
        images, targets = start.images, problem.unit_targets()
        if units is not None:
            targets = targets[units]
        if images.dtype == torch.uint8:
            images = problem.normalization.normalize(images)
        return cls(problem.form.latents(images), targets, start.labels, start.learning_rate, units)

    def rows(self, places: Tensor) -> Tensor:
        """Where the units at these places of the set lie here."""
        if self.units is None:
            return places
        order = self.units.argsort()
        return order[torch.searchsorted(self.units[order], places)]


def with_learned(start: Latents, plan: Plan, classes: int) -> Latents:
    """The start with first labels and a first rate, where the plan learns them and the initializer gave none. RunError where
    the plan does not say what they are."""
    learned = {what for group in plan.groups for phase in group.phases for what in phase.rates}
    given = {"labels": start.labels, "learning_rate": start.learning_rate}
    begins: dict[str, float] = {}
    for what in ("labels", "learning_rate"):
        if what in learned and given[what] is None:
            how = plan.learned(what)
            if how is None or how.start is None:
                raise RunError(
                    f"the plan learns {what}, of which nothing is there yet: give Learned(what={what!r}, start=…), or an "
                    "initializer that makes them"
                )
            begins[what] = how.start
    if "labels" in begins:
        start = replace(start, labels=begins["labels"] * F.one_hot(start.targets, classes).float())
    if "learning_rate" in begins:
        start = replace(start, learning_rate=torch.tensor(begins["learning_rate"]))
    return start
