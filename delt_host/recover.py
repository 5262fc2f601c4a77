"""Recovery: optimise the pixels of each group of a plan until they match what the matcher asks for.

The host owns this loop; methods only choose the plan and the losses. SRe2L (arXiv 2306.13092), eq. 4-6, as run by
the published code: Adam on the pixels, a random crop, mirror and shift each iteration, pixels clipped to the valid
colour range after every step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from delt_host.augment import (
    apply_view,
    crop_matrix,
    draw_crops,
    draw_offsets,
    mirror,
    roll_matrix,
    shift_matrix,
)
from delt_host.components import Matcher, Views
from delt_host.compute import Compute
from delt_host.errors import RunError
from delt_host.latents import Latents
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.resume import Checkpoint

BETA_1, BETA_2, EPSILON = 0.5, 0.9, 1e-8  # SRe2L and all its successors

LOG_POINTS = 50  # how many points of each loss curve are kept, and how often the loss is read from the device

OnProgress = Callable[[int, dict[str, float]], None]
"""Called with (image-iterations done since the last call, current loss terms)."""


class PixelAdam:
    """Adam on a prefix of each group's images, whose later joiners share the group's step count or count their own.

    Images that have not joined have zero gradient and zero moments, so Adam over the whole tensor would not move
    them: updating the prefix alone is the same mathematics at the cost of the active images only.
    """

    def __init__(self, pixels: Tensor, fresh: bool) -> None:
        """`pixels` (G, B, 3, S, S) are updated in place; all groups step together."""
        self.pixels = pixels
        self.first, self.second = torch.zeros_like(pixels), torch.zeros_like(pixels)
        self.steps = torch.zeros(pixels.shape[1], 1, 1, 1, dtype=torch.float64) if fresh else None
        self.step_count = 0

    def step(self, gradient: Tensor, learning_rate: float) -> None:
        """`gradient` (G, A, 3, S, S) of the first A images of each group."""
        active = gradient.shape[1]
        self.step_count += 1
        first, second, pixels = (part[:, :active] for part in (self.first, self.second, self.pixels))
        first.lerp_(gradient, 1 - BETA_1)
        second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        if self.steps is None:
            size = learning_rate / (1 - BETA_1**self.step_count)
            correction = (1 - BETA_2**self.step_count) ** 0.5
            pixels.addcdiv_(first, (second.sqrt() / correction).add_(EPSILON), value=-size)
        else:
            self.steps[:active] += 1
            own = self.steps[:active].to(self.pixels.device)
            sizes = (learning_rate / (1 - BETA_1**own)).to(self.pixels.dtype)
            corrections = ((1 - BETA_2**own) ** 0.5).to(self.pixels.dtype)
            pixels -= sizes * first / (second.sqrt() / corrections + EPSILON)


@dataclass
class Recovered:
    """One group's result."""

    images: Tensor
    """(B, 3, S, S) float32 normalised, in the group's own order."""
    curves: dict[str, list[float]] = field(default_factory=dict)
    """Loss terms at up to 50 points; `iteration` holds where."""


def recover_group(
    problem: Problem, start: Latents, plan: Plan, index: int, matcher: Matcher, progress: OnProgress
) -> Recovered:
    """Run group `index` of the plan. RunError where the matcher breaks its contract or the loss is not finite."""
    return recover_stack(problem, start, plan, (index,), matcher, progress)[0]


def recover_stack(
    problem: Problem,
    start: Latents,
    plan: Plan,
    indices: Sequence[int],
    matcher: Matcher,
    progress: OnProgress,
    checkpoint: Checkpoint | None = None,
) -> list[Recovered]:
    """Run several groups of the same phases in one forward pass an iteration.

    Statistics are taken for each group, draws are each group's own and Adam works on each pixel by itself, so the
    mathematics is that of one group after the other; only the rounding of larger batches differs.
    """
    if problem.form.cells != 1:
        raise RunError(f"images cannot be recovered in the form {type(problem.form).__name__} yet")
    groups = [plan.groups[index] for index in indices]
    group = groups[0]
    order = torch.tensor([each.images for each in groups])
    device = problem.compute.device
    pixels = start.images["images"][order].to(device, torch.float32).contiguous()
    targets = start.targets[order].to(device)
    low, high = (bound.to(device) for bound in problem.normalization.pixel_bounds())
    optimizer = PixelAdam(pixels, plan.moments == "fresh")
    match = matcher.bind(problem)
    every = max(group.iterations // LOG_POINTS, 1)
    curves: list[dict[str, list[float]]] = [{"iteration": []} for _ in groups]
    phases = [phase for phase in group.phases for _ in range(phase.iterations)]
    checkpoint = checkpoint or Checkpoint(None)
    memory: dict[str, Tensor] = {}
    first = 0
    if found := checkpoint.load():
        first, curves = _restore(found, optimizer, memory)
        progress(len(groups) * sum(phase.active for phase in phases[:first]), {})
    done = 0
    for iteration in range(first, len(phases)):
        phase = phases[iteration]
        active = pixels[:, : phase.active]
        settings = (iteration, phase.min_crop.at(iteration), phase.active)
        drawn = [view_matrices(problem, plan, index, *settings) for index in indices]
        rows, columns = (torch.stack(matrices) for matrices in zip(*drawn, strict=True))
        leaf = active.detach().requires_grad_(True)
        images = apply_view(leaf, rows, columns).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        views = Views(
            images=images,
            targets=targets[:, : phase.active].flatten(),
            groups=len(groups),
            iteration=iteration,
            generator=partial(problem.generator, "match", indices[0], iteration),
            memory=memory,
        )
        terms = dict(match(views))
        if iteration == 0:
            _check_terms(terms, len(groups))
        loss = torch.stack([term.sum() for term in terms.values()]).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
        optimizer.step(gradient, phase.learning_rate.at(iteration))
        # The published code clips all rows each time: noise that waits to join is clipped from the first step on.
        clipped = pixels if iteration == 0 else active
        torch.clamp(clipped, low, high, out=clipped)
        done += len(groups) * phase.active
        if iteration % every == 0 or iteration == group.iterations - 1:
            values = {name: term.detach().tolist() for name, term in terms.items()}
            for place, (index, curve) in enumerate(zip(indices, curves, strict=True)):
                own = {name: each[place] for name, each in values.items()}
                _check_finite(own, index, iteration)
                for name, value in {"iteration": iteration, **own}.items():
                    curve.setdefault(name, []).append(value)
            progress(done, {name: fmean(each) for name, each in values.items()})
            done = 0
        if checkpoint.due:
            _save(checkpoint, iteration + 1, optimizer, memory, curves)
    return [Recovered(images, curve) for images, curve in zip(pixels.cpu(), curves, strict=True)]


def _save(
    checkpoint: Checkpoint,
    iterations: int,
    optimizer: PixelAdam,
    memory: dict[str, Tensor],
    curves: list[dict[str, list[float]]],
) -> None:
    """All that the iterations still to come depend on."""
    tensors = {"pixels": optimizer.pixels, "first": optimizer.first, "second": optimizer.second}
    if optimizer.steps is not None:
        tensors["steps"] = optimizer.steps
    kept = {f"memory.{name}": tensor for name, tensor in memory.items()}
    checkpoint.save({**tensors, **kept}, {"iterations": iterations, "curves": curves})


def _restore(
    found: tuple[dict[str, Tensor], dict[str, Any]], optimizer: PixelAdam, memory: dict[str, Tensor]
) -> tuple[int, list[dict[str, list[float]]]]:
    """Put a checkpoint's state into place; the iterations done and the curves so far."""
    tensors, facts = found
    for part in ("pixels", "first", "second"):
        getattr(optimizer, part).copy_(tensors[part])
    if optimizer.steps is not None:
        optimizer.steps.copy_(tensors["steps"])
    optimizer.step_count = facts["iterations"]
    device = optimizer.pixels.device
    for name, tensor in tensors.items():
        if name.startswith("memory."):
            memory[name.removeprefix("memory.")] = tensor.to(device)
    return facts["iterations"], facts["curves"]


def stacks(plan: Plan, matcher: Matcher, compute: Compute, image_size: int) -> list[tuple[int, ...]]:
    """The plan's groups, by index, in stacks of neighbours of the same phases and number of images.

    They do not depend on which groups are missing from the store, so resuming computes the same batches.
    """
    found: list[list[int]] = []
    for index, group in enumerate(plan.groups):
        first = plan.groups[found[-1][0]] if found else None
        alike = first is not None and (first.phases, len(first.images)) == (group.phases, len(group.images))
        most = compute.groups_at_once(len(group.images), image_size) if matcher.stackable else 1
        if alike and len(found[-1]) < most:
            found[-1].append(index)
        else:
            found.append([index])
    return [tuple(stack) for stack in found]


def view_matrices(
    problem: Problem, plan: Plan, group: int, iteration: int, min_crop: float, active: int
) -> tuple[Tensor, Tensor]:
    """Row and column matrices (1 or `active`, S, S) of this iteration's views: roll of flip of random resized crop."""
    rng = problem.generator("view", group, iteration)
    size, count = problem.image_size, 1 if plan.views == "group" else active
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


def assemble(start: Latents, plan: Plan, recovered: list[Tensor]) -> Latents:
    """The latents of all groups back in the initializer's order, the plan's residual of their starts blended in; images in no
    group stay as they were."""
    begun = start.images["images"]
    images = begun.clone()
    for group, pixels in zip(plan.groups, recovered, strict=True):
        places = torch.tensor(group.images)
        images[places] = torch.lerp(pixels, begun[places], plan.residual) if plan.residual else pixels
    return replace(start, images={"images": images})


def check_plan(plan: Plan, num_images: int) -> None:
    """RunError unless every image is in at most one group and exists."""
    used = [i for group in plan.groups for i in group.images]
    if len(used) != len(set(used)):
        raise RunError("the plan puts an image into two groups; groups must be disjoint")
    if used and not 0 <= min(used) <= max(used) < num_images:
        raise RunError(f"the plan names image {max(used)}, but there are {num_images}")


def _check_terms(terms: dict[str, Tensor], groups: int) -> None:
    if not terms:
        raise RunError("it returned no loss term; return a dict of name to tensor of shape (groups,)")
    for term, value in terms.items():
        if not isinstance(value, torch.Tensor) or value.shape != (groups,):
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise RunError(f"term {term!r} must have shape (groups,) = ({groups},), not {got}")
    if not any(value.requires_grad for value in terms.values()):
        raise RunError("no gradient reaches the images; no term depends on views.images")


def _check_finite(values: dict[str, float], group: int, iteration: int) -> None:
    for term, value in values.items():
        if value != value or value in (float("inf"), float("-inf")):
            raise RunError(
                f"term {term!r} became {value} in group {group} at iteration "
                f"{iteration}; lower the learning rate (--set scheduler.learning_rate=…) or the term's weight"
            )
