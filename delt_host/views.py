"""What is drawn for each step of a group, as data: crop, mirror, shift and DSA's operation, for its images and real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from delt_host import siamese
from delt_host.augment import (
    apply_view,
    crop_matrix,
    draw_crops,
    draw_offsets,
    mirror,
    roll_matrix,
    shift_matrix,
)
from delt_host.errors import RunError
from delt_host.plan import Plan
from delt_host.problem import Problem


@dataclass(frozen=True)
class Draw:
    """One step's draw of one group."""

    matrices: tuple[Tensor, Tensor] | None
    """Rows and columns (1 or B, S, S) of its views; None: the images as they are."""
    siamese: tuple[int, Tensor] | None
    """An operation and its draws (1, 3)."""


@dataclass(frozen=True)
class Draws:
    """One step's draws of a stack of groups."""

    each: Sequence[Draw]
    of_images: bool
    """Whether each image has its own view."""

    @cached_property
    def _matrices(self) -> tuple[Tensor, Tensor] | None:
        pairs = [draw.matrices for draw in self.each if draw.matrices is not None]
        if not pairs:
            return None
        rows, columns = (torch.stack(matrices) for matrices in zip(*pairs, strict=True))
        return rows, columns

    def apply(self, images: Tensor) -> Tensor:
        """Views of decoded images (G * B, 3, S, S); differentiable."""
        if self._matrices is not None:
            images = apply_view(images.unflatten(0, (len(self.each), -1)), *self._matrices).flatten(0, 1)
        if any(draw.siamese for draw in self.each):
            parts = zip(images.chunk(len(self.each)), self.each, strict=True)
            images = torch.cat([siamese.augment(part, *draw.siamese) for part, draw in parts if draw.siamese])
        return images.contiguous(memory_format=torch.channels_last)

    def again(self, real: Tensor) -> Tensor:
        """The same draw on real images (n, 3, S, S); RunError where it is not one for all."""
        if len(self.each) > 1:
            raise RunError(
                "views.augment has a draw for each of the groups that share a pass; a matcher that asks for it is not stackable"
            )
        if self._matrices is not None and self.of_images:
            raise RunError(
                "views.augment has no one draw for real images where each image has its own; use --set scheduler.views=group, "
                "or a schedule that does not crop, mirror or roll"
            )
        return self.apply(real)


def draws(
    problem: Problem, plan: Plan, groups: Sequence[int], place: tuple[int, ...], min_crop: float, images: int
) -> Draws:
    """What the groups draw at `place`, the iteration and, where there are several turns, the turn; of `images` images each."""
    still = plan.crop == "none" and not plan.flip and plan.roll == (0, 0)
    return Draws(
        [
            Draw(
                None if still else view_matrices(problem, plan, (group, *place), min_crop, images),
                siamese.draw(problem.generator("siamese", group, *place), 1, plan.siamese) if plan.siamese else None,
            )
            for group in groups
        ],
        of_images=plan.views == "image",
    )


def view_matrices(
    problem: Problem, plan: Plan, place: tuple[int, ...], min_crop: float, images: int
) -> tuple[Tensor, Tensor]:
    """Row and column matrices (1 or `images`, S, S) of one step's views: roll of flip of random resized crop."""
    rng = problem.generator("view", *place)
    size, count = problem.image_size, 1 if plan.views == "group" else images
    if plan.crop == "pad":
        down, right = draw_offsets(rng, count, size)
        rows, columns = shift_matrix(down, size), shift_matrix(right, size)
    elif plan.crop == "resized":
        box = draw_crops(rng, count, size, (min_crop, 1.0))
        rows, columns = crop_matrix(box[:, 0], box[:, 2], size), crop_matrix(box[:, 1], box[:, 3], size)
    else:
        rows = columns = torch.eye(size).expand(count, -1, -1)
    if plan.flip:
        columns = mirror(columns, torch.rand(count, generator=rng) < 0.5)
    if plan.roll != (0, 0):
        down, right = torch.randint(plan.roll[0], plan.roll[1] + 1, (2, count), generator=rng)
        rows, columns = roll_matrix(rows, down), roll_matrix(columns, right)
    return rows, columns
