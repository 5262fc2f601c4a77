"""What is drawn for each step of a group, as data: crop, mirror, shift and DSA's operation, for its images and real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    of_groups = [drawn_views(problem, plan, (group, *place), min_crop, images) for group in groups]
    numbers = {name: torch.cat([each[name] for each in of_groups]) for name in of_groups[0]}
    operations = [
        siamese.draw(problem.generator("siamese", group, *place), 1, plan.siamese) for group in groups if plan.siamese
    ]
    on = moved(problem.compute.device, *numbers.values(), *(drawn for _, drawn in operations))
    matrices: tuple[Tensor, ...] = ()
    if numbers:
        pair = view_matrices(plan, dict(zip(numbers, on, strict=False)), problem.image_size)
        matrices = tuple(each.unflatten(0, (len(groups), -1)) for each in pair)
    names = [operation for operation, _ in operations]
    of_operations = list(zip(names, on[len(numbers) :], strict=True))
    return Draws(len(groups), matrices, of_operations, plan.views == "image")


def drawn_views(
    problem: Problem, plan: Plan, place: tuple[int, ...], min_crop: float, images: int
) -> dict[str, Tensor]:
    """What one step of a group draws for its views, a row for the group or for each of its `images`: `crop`, offsets (…, 2) or
    boxes (…, 4), `flip` (…,) and `roll` (…, 2), each where the plan has it. Nothing where it has none of them."""
    rng = problem.generator("view", *place)
    size, count = problem.image_size, 1 if plan.views == "group" else images
    found: dict[str, Tensor] = {}
    if plan.crop == "pad":
        found["crop"] = draw_offsets(rng, count, size).T
    elif plan.crop == "resized":
        found["crop"] = draw_crops(rng, count, size, (min_crop, 1.0))
    if plan.flip:
        found["flip"] = torch.rand(count, generator=rng) < 0.5
    if plan.roll != (0, 0):
        found["roll"] = torch.randint(plan.roll[0], plan.roll[1] + 1, (2, count), generator=rng).T
    return found


def view_matrices(plan: Plan, drawn: Mapping[str, Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Row and column matrices (n, S, S) of what `drawn_views` gave, of n rows, where that lies: roll of flip of crop.

    A photograph's matrices are a thousand times the bytes of the numbers that they are made from, which are what goes to a
    device.
    """
    if plan.crop == "pad":
        rows, columns = (shift_matrix(each, size) for each in drawn["crop"].T)
    elif plan.crop == "resized":
        top, left, height, width = drawn["crop"].T
        rows, columns = crop_matrix(top, height, size), crop_matrix(left, width, size)
    else:
        one = next(iter(drawn.values()))
        rows = columns = torch.eye(size, device=one.device).expand(len(one), -1, -1)
    if plan.flip:
        columns = mirror(columns, drawn["flip"])
    if plan.roll != (0, 0):
        down, right = drawn["roll"].T
        rows, columns = roll_matrix(rows, down), roll_matrix(columns, right)
    return rows, columns
