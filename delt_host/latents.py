"""A set while it is optimised: what its form optimises in place of pixels, and whatever else is learned with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.components import Start
from delt_host.problem import Problem


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

    @classmethod
    def of(cls, problem: Problem, start: Start, units: Tensor | None = None) -> Latents:
        """What recovery starts from, for a start of all classes, or for these of its units (U,), in this order; normalised
        where it is not."""
        images, targets, labels = start.images, problem.unit_targets(), start.labels
        if units is not None:
            cells = problem.form.cells
            images = images[(units[:, None] * cells + torch.arange(cells)).flatten()]
            targets, labels = targets[units], None if labels is None else labels[units]
        if images.dtype == torch.uint8:
            images = problem.normalization.normalize(images)
        return cls(problem.form.latents(images), targets, labels, start.learning_rate)
