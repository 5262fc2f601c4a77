"""Recovery: optimise the pixels of each group of a plan until they match what the matcher asks for.

The host owns this loop; methods only choose the plan, the losses and the networks. SRe2L (arXiv 2306.13092), eq. 4-6, as run by
the published code: Adam on the pixels, a random crop, mirror and shift each iteration, pixels clipped to the valid
colour range after every step. A plan may have other things learned too, by other optimisers, or a step after each class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from statistics import fmean

import torch
from torch import Tensor

from delt_host.basics.compute import Compute
from delt_host.basics.errors import RunError
from delt_host.contracts.matcher import Matcher, Views
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.squeezer import OnProgress
from delt_host.recovery.latents import Latents, with_learned
from delt_host.recovery.learning import Learning
from delt_host.recovery.recorded import Recorded
from delt_host.recovery.views import draws
from delt_host.store.resume import Checkpoint

LOG_POINTS = 50  # how many points of each loss curve are kept, and how often the loss is read from the device

Curves = list[dict[str, list[float]]]
"""Of each group: loss terms at up to 50 points; `iteration` holds where."""


@dataclass
class Recovered:
    """One group's result."""

    latents: Latents
    """Its units, in the group's own order, and what else was learned."""
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
    *,
    record: bool = True,
) -> list[Recovered]:
    """Run several groups of the same phases in one forward pass an iteration.

    Statistics are taken for each group, draws are each group's own and Adam works on each pixel by itself, so the
    mathematics is that of one group after the other; only the rounding of larger batches differs. `record`: whether a device
    may repeat steps from a recording, in which nobody can count operators.
    """
    group, count = plan.groups[indices[0]], len(indices)
    learning = Learning(problem, start, plan, indices)
    match, networks = matcher.bind(problem), matcher.networks.bind(problem, indices[0])
    if record and torch.device(problem.compute.device).type == "cuda" and matcher.balance == "given":
        match = Recorded(match)
    every = max(group.iterations // LOG_POINTS, 1)
    curves: Curves = [{"iteration": []} for _ in indices]
    phases = [phase for phase in group.phases for _ in range(phase.iterations)]
    checkpoint = checkpoint or Checkpoint(None)
    memory: dict[str, Tensor] = {}
    balance: dict[str, Tensor] = {}
    squares: dict[str, Tensor] = {}
    first = 0
    if found := checkpoint.load():
        tensors, facts = found
        learning.load(tensors, facts)
        networks.load(_under("networks", tensors))
        for name, kept in (("memory", memory), ("balance", balance)):
            kept |= {key: each.to(problem.compute.device) for key, each in _under(name, tensors).items()}
        first, curves = facts["iterations"], facts["curves"]
        progress(count * sum(phase.active for phase in phases[:first]), {})
    done = 0
    for iteration in range(first, len(phases)):
        phase = phases[iteration]
        network, turns = networks.at(iteration, learning.current), learning.turns(phase)
        logged: list[dict[str, Tensor]] = []
        for turn, where in enumerate(turns):
            place = (iteration, turn) if phase.turns == "by class" else (iteration,)
            leaves = learning.leaves(where, phase)
            decoded = learning.decoded(leaves["images"])
            drawn = draws(problem, plan, indices, place, phase.min_crop.at(iteration), len(decoded) // count)
            views = Views(
                images=drawn.apply(decoded),
                targets=learning.targets_of(where),
                groups=count,
                iteration=iteration,
                generator=partial(problem.generator, "match", indices[0], *place),
                memory=memory,
                index=learning.index_of(where),
                network=network,
                current=learning.current,
                augment=drawn.again,
                labels=learning.labels_of(leaves),
                learning_rate=leaves["learning_rate"]["learning_rate"][0, 0] if "learning_rate" in leaves else None,
                turn=turn,
                known_targets=learning.known_targets_of(where),
            )
            # A network in train mode may drop out, by torch's global generator alone.
            dropout = problem.isolated("match", indices[0], *place, "dropout") if network.training else nullcontext()
            with dropout:
                terms = dict(match(views))
            if iteration == 0:
                _check_terms(terms, count)
                if matcher.balance == "first step":
                    squares = squared_lengths(terms, views.images, count, squares)
                    balance |= balanced(squares)
            terms = {name: term * balance[name] if name in balance else term for name, term in terms.items()}
            loss = torch.stack([term.sum() for term in terms.values()]).sum()
            learning.step(loss, leaves, where, phase, (iteration, turn))
            logged.append({name: term.detach() for name, term in terms.items()})
        learning.averaged()
        done += count * phase.active
        if iteration % every == 0 or iteration == group.iterations - 1:
            values = _mean_over_turns(logged)
            for nth, (index, curve) in enumerate(zip(indices, curves, strict=True)):
                own = {name: each[nth] for name, each in values.items()}
                _check_finite(own, index, iteration)
                for name, value in {"iteration": iteration, **own}.items():
                    curve.setdefault(name, []).append(value)
            progress(done, {name: fmean(each) for name, each in values.items()})
            done = 0
        if checkpoint.due:
            tensors, facts = learning.state()
            for name, kept in (("memory", memory), ("balance", balance), ("networks", networks.state())):
                tensors |= {f"{name}.{key}": tensor for key, tensor in kept.items()}
            checkpoint.save(tensors, {**facts, "iterations": iteration + 1, "curves": curves})
    return [Recovered(latents, curve) for latents, curve in zip(learning.results(), curves, strict=True)]


def squared_lengths(
    terms: Mapping[str, Tensor], images: Tensor, groups: int, before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """(G,) of each term that has a gradient to the images: its squared length, with those of the turns `before`."""
    squares = dict(before)
    for name, term in terms.items():
        if term.requires_grad:
            (gradient,) = torch.autograd.grad(term.sum(), images, retain_graph=True, allow_unused=True)
            if gradient is not None:
                own = gradient.reshape(groups, -1).square().sum(dim=1)
                squares[name] = squares[name] + own if name in squares else own
    return squares


def balanced(squares: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each term, weights (G,) that make its gradient to the images as long as the first term's, given their squared
    lengths; 1 where it has none."""
    reference = next(iter(squares.values()), torch.ones(()))
    usable = {name: (square > 0) & (reference > 0) for name, square in squares.items()}
    return {
        name: torch.where(usable[name], (reference / square).sqrt(), torch.ones_like(square))
        for name, square in squares.items()
    }


def _mean_over_turns(logged: Sequence[Mapping[str, Tensor]]) -> dict[str, list[float]]:
    """The value of each term for each group, averaged over the turns that have it."""
    if len(logged) == 1:
        return {name: term.tolist() for name, term in logged[0].items()}
    names = dict.fromkeys(name for terms in logged for name in terms)
    return {name: torch.stack([t[name] for t in logged if name in t]).mean(dim=0).tolist() for name in names}


def _under(name: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a checkpoint's tensors those that were saved under `name`."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def stacks(plan: Plan, matcher: Matcher, compute: Compute, image_size: int, cells: int = 1) -> list[tuple[int, ...]]:
    """The plan's groups, by index, in stacks of neighbours of the same phases and number of units, of `cells` images each.

    They do not depend on which groups are missing from the store, so resuming computes the same batches. Where more than images
    is learned, or one class after the other, each group goes alone.
    """
    phases = [phase for group in plan.groups for phase in group.phases]
    plain = all(set(phase.rates) == {"images"} and phase.turns == "together" for phase in phases)
    stackable = plain and matcher.stackable and matcher.networks.stackable
    found: list[list[int]] = []
    for index, group in enumerate(plan.groups):
        first = plan.groups[found[-1][0]] if found else None
        alike = first is not None and (first.phases, len(first.images)) == (group.phases, len(group.images))
        most = compute.groups_at_once(len(group.images) * cells, image_size) if stackable else 1
        if alike and len(found[-1]) < most:
            found[-1].append(index)
        else:
            found.append([index])
    return [tuple(stack) for stack in found]


def assemble(start: Latents, plan: Plan, indices: Sequence[int], recovered: Sequence[Latents]) -> Latents:
    """What these groups have become, in the start's order, the plan's residual of their starts blended in; units in no group
    stay as they were."""
    classes = next((each.labels.shape[1] for each in recovered if each.labels is not None), 0)
    start = with_learned(start, plan, classes)
    images = {name: tensor.clone() for name, tensor in start.images.items()}
    labels, rate = None if start.labels is None else start.labels.clone(), start.learning_rate
    for index, own in zip(indices, recovered, strict=True):
        rows = start.rows(torch.tensor(plan.groups[index].images))
        for name, tensor in own.images.items():
            before = start.images[name][rows]
            images[name][rows] = torch.lerp(tensor, before, plan.residual) if plan.residual else tensor
        if labels is not None and own.labels is not None:
            labels[rows] = own.labels
        rate = rate if own.learning_rate is None else own.learning_rate
    return replace(start, images=images, labels=labels, learning_rate=rate)


def check_plan(plan: Plan, num_units: int) -> None:
    """RunError unless every unit is in at most one group and exists."""
    used = [i for group in plan.groups for i in group.images]
    if len(used) != len(set(used)):
        raise RunError("the plan puts a unit into two groups; groups must be disjoint")
    if used and not 0 <= min(used) <= max(used) < num_units:
        raise RunError(f"the plan names unit {max(used)}, but there are {num_units}")


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
        if not math.isfinite(value):
            raise RunError(
                f"term {term!r} became {value} in group {group} at iteration "
                f"{iteration}; lower the learning rate (--set scheduler.learning_rate=…) or the term's weight"
            )
