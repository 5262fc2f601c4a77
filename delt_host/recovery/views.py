"""What is drawn for each step of a group, as data: crop, mirror, shift and DSA's operation, for its images and real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.basics.accelerator import moved
from delt_host.basics.errors import RunError
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.images import siamese
from delt_host.images.augment import (
    apply_view,
    crop_matrix,
    draw_crops,
    draw_offsets,
    mirror,
    roll_matrix,
    shift_matrix,
)


@dataclass(frozen=True)
class Draws:
    """One step's draws of a stack of groups."""

    groups: int
    matrices: tuple[Tensor, ...]
    """Rows and columns (G, 1 or B, S, S) of the views; none: the images as they are."""
    siamese: Sequence[tuple[int, Tensor]]
    """Of each group an operation and its draws (1, 3); none without DSA."""
    of_images: bool
    """Whether each image has its own view."""

    def apply(self, images: Tensor) -> Tensor:
        """Views of decoded images (G * B, 3, S, S); differentiable."""
        if self.matrices:
            images = apply_view(images.unflatten(0, (self.groups, -1)), *self.matrices).flatten(0, 1)
        if self.siamese:
            parts = zip(images.chunk(self.groups), self.siamese, strict=True)
            images = torch.cat([siamese.augment(part, *draw) for part, draw in parts])
        return images.contiguous(memory_format=torch.channels_last)

    def again(self, real: Tensor) -> Tensor:
        """The same draw on real images (n, 3, S, S); RunError where it is not one for all."""
        if self.groups > 1:
            raise RunError(
                "views.augment has a draw for each of the groups that share a pass; a matcher that asks for it is not stackable"
            )
        if self.matrices and self.of_images:
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
    pairs = [] if still else [view_matrices(problem, plan, (group, *place), min_crop, images) for group in groups]
    operations = [
        siamese.draw(problem.generator("siamese", group, *place), 1, plan.siamese) for group in groups if plan.siamese
    ]
    matrices = [torch.stack(each) for each in zip(*pairs, strict=True)]
    on = moved(problem.compute.device, *matrices, *(drawn for _, drawn in operations))
    names = [operation for operation, _ in operations]
    of_operations = list(zip(names, on[len(matrices) :], strict=True))
    return Draws(len(groups), tuple(on[: len(matrices)]), of_operations, plan.views == "image")


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
