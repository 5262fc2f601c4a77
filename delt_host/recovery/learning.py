"""What is learned of a stack of groups, while it is learned: its tensors, their optimisers and their averages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from delt_host.basics.accelerator import moved
from delt_host.basics.errors import RunError
from delt_host.contracts.plan import Learned, Phase, Plan, What
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents, with_learned

Tensors = dict[str, Tensor]


class Places(NamedTuple):
    """Places (B,) int64 of units, on both sides, so that neither copies them nor waits for them."""

    here: Tensor
    """On the processor."""
    there: Tensor
    """On the device."""


Where = slice | Places
"""Which units of each group: a prefix, or places."""

ALL_UNITS = slice(None)


class Learning:
    """G groups of U units each, on the device.

    Everything that is learned is a dict of tensors (G, U, …): of images what their form optimises, of labels their logits
    (G, U, C), of the students' rate one number (G, 1), which belongs to the set and not to a unit.
    """

    def __init__(self, problem: Problem, start: Latents, plan: Plan, indices: Sequence[int]) -> None:
        device, self.form = problem.compute.device, problem.form
        groups = [plan.groups[index] for index in indices]
        start = with_learned(start, plan, problem.num_classes)
        self.places = torch.tensor([each.images for each in groups])
        self.rows = start.rows(self.places.flatten()).view_as(self.places)
        self.targets = start.targets[self.rows]
        self.values: dict[What, Tensors] = {"images": self._on(device, start.images)}
        if start.labels is not None:
            self.values["labels"] = self._on(device, {"labels": start.labels})
        if start.learning_rate is not None:
            rate = start.learning_rate.to(device, torch.float32)
            self.values["learning_rate"] = {"learning_rate": rate.expand(len(groups), 1).clone()}
        low, high = problem.normalization.pixel_bounds()
        self.bounds = low.to(device), high.to(device)
        learned = {what for group in groups for phase in group.phases for what in phase.rates}
        hows = [each for each in plan.learns if each.what in learned]
        self.optimisers: dict[What, Optimiser] = {
            how.what: Optimiser(self.values[how.what], how, plan.moments == "fresh" and how.what == "images")
            for how in hows
        }
        self.averages: dict[What, Tensors] = {
            how.what: {name: each.clone() for name, each in self.values[how.what].items()}
            for how in hows
            if how.average
        }
        self.reached: set[What] = set()  # by a gradient, so far
        self._targets, self._index = moved(device, self.targets, self._images_of(self.places))
        self._turns: dict[int, list[Places]] = {}

    def _on(self, device: str, tensors: Mapping[str, Tensor]) -> Tensors:
        return {name: each[self.rows].to(device, torch.float32).contiguous() for name, each in tensors.items()}

    def _images_of(self, units: Tensor) -> Tensor:
        """The places of the images (G, U * cells) that units (G, U) decode to."""
        return (units[:, :, None] * self.form.cells + torch.arange(self.form.cells)).flatten(1)

    def turns(self, phase: Phase) -> list[Where]:
        """The units of each step of an iteration."""
        if phase.turns == "together":
            return [slice(0, phase.active)]
        if phase.active not in self._turns:
            active = self.targets[0, : phase.active]
            places = [torch.nonzero(active == label).flatten() for label in active.unique()]
            self._turns[phase.active] = list(map(Places, places, moved(self._targets.device, *places)))
        return list(self._turns[phase.active])

    def leaves(self, where: Where, phase: Phase) -> dict[What, Tensors]:
        """What a step depends on, cut from its past; what the phase learns requires a gradient."""
        return {
            what: {
                name: each[:, ALL_UNITS if what == "learning_rate" else _there(where)]
                .detach()
                .requires_grad_(what in phase.rates)
                for name, each in values.items()
            }
            for what, values in self.values.items()
        }

    def decoded(self, leaf: Mapping[str, Tensor]) -> Tensor:
        """The images (G * B, 3, S, S) of latents (G, A, …)."""
        return self.form.decode({name: each.flatten(0, 1) for name, each in leaf.items()})

    def targets_of(self, where: Where) -> Tensor:
        """(G * B,): the classes of the images of the units at `where`."""
        own = self._targets[:, _there(where)].flatten()
        return own if self.form.cells == 1 else own.repeat_interleave(self.form.cells)

    def known_targets_of(self, where: Where) -> Tensor:
        """Likewise, on the processor."""
        return self.targets[:, _here(where)].flatten().repeat_interleave(self.form.cells)

    def index_of(self, where: Where) -> Tensor:
        """(G * B,): their places in the set."""
        if self.form.cells == 1:
            return self._index[:, _there(where)].flatten()
        return self._index.unflatten(1, (-1, self.form.cells))[:, _there(where)].flatten()

    def labels_of(self, leaves: Mapping[What, Tensors]) -> Tensor | None:
        """(G * B, C): the labels of the images of the leaves' units."""
        if "labels" not in leaves:
            return None
        own = leaves["labels"]["labels"].flatten(0, 1)
        return own if self.form.cells == 1 else own.repeat_interleave(self.form.cells, dim=0)

    @torch.no_grad()
    def current(self) -> tuple[Tensor, Tensor]:
        """All units as they stand: images and, where there are any, their labels, else their classes."""
        labels = self.labels_of(self.values)
        images = self.decoded(self.values["images"]).contiguous(memory_format=torch.channels_last)
        return images, self.targets_of(ALL_UNITS) if labels is None else labels

    def step(
        self, loss: Tensor, leaves: Mapping[What, Tensors], where: Where, phase: Phase, place: tuple[int, int]
    ) -> None:
        """One step of everything that the phase learns, at `place`, iteration and turn. RunError where the first loss depends
        on nothing of some kind."""
        wanted = [(what, name) for what in phase.rates for name in leaves[what]]
        found = torch.autograd.grad(loss, [leaves[what][name] for what, name in wanted], allow_unused=True)
        gradients: dict[What, Tensors] = {}
        for (what, name), gradient in zip(wanted, found, strict=True):
            if gradient is not None:
                gradients.setdefault(what, {})[name] = gradient
        iteration, turn = place
        for what, rate in phase.rates.items():
            if what in gradients:
                self.reached.add(what)
                own = ALL_UNITS if what == "learning_rate" else where
                self.optimisers[what].step(gradients[what], rate.at(iteration), own, first=turn == 0)
            elif what not in self.reached:
                raise RunError(f"no gradient reaches the {what}; no term depends on views.{what}")
        # All units each time: the published code clips noise that waits to join from the first step on.
        self._keep_valid(self.values["images"])

    def _keep_valid(self, images: Tensors) -> None:
        self.form.keep_valid({name: each.flatten(0, 1) for name, each in images.items()}, *self.bounds)

    def averaged(self) -> None:
        """After an iteration: the averages follow."""
        for what, averages in self.averages.items():
            decay = self.optimisers[what].how.average
            for name, each in averages.items():
                each.lerp_(self.values[what][name], 1 - decay)

    def results(self) -> list[Latents]:
        """What is kept of each group: the averages, where there are any."""
        kept = {**self.values, **self.averages}
        if "images" in self.averages:  # of a start that was none yet
            self._keep_valid(kept["images"])
        cpu = {what: {name: each.cpu() for name, each in tensors.items()} for what, tensors in kept.items()}
        labels = cpu.get("labels", {}).get("labels")
        rate = cpu.get("learning_rate", {}).get("learning_rate")
        return [
            Latents(
                {name: each[group] for name, each in cpu["images"].items()},
                self.targets[group],
                None if labels is None else labels[group],
                None if rate is None else rate[group, 0],
            )
            for group in range(len(self.places))
        ]

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and facts for checkpoints."""
        parts: Tensors = {}
        kept = {what: own.state() for what, own in self.optimisers.items()}
        for kind, all_of in (("value", self.values), ("average", self.averages), ("optimiser", kept)):
            for what, tensors in all_of.items():
                parts |= {f"{kind}.{what}.{name}": each for name, each in tensors.items()}
        return parts, {"steps": {what: own.count for what, own in self.optimisers.items()}}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, own in self.state()[0].items():
            own.copy_(tensors[name])
        for what, count in facts["steps"].items():
            self.optimisers[what].count = count


class Optimiser:
    """Adam or SGD: steps on tensors (G, U, …) of G groups of U units, all groups together, only at the units that are named.

    A unit without a step has neither gradient nor motion: for Adam that is what zero gradients from the beginning would do, at
    the cost of the units that do step. Later joiners share the step count of the others, or count their own; the published
    single Adam shares it, and they have zero moments.
    """

    def __init__(self, tensors: Tensors, how: Learned, fresh: bool = False) -> None:
        """`tensors` are updated in place; `fresh`: under Adam, each unit counts its own steps."""
        self.tensors, self.how = tensors, how
        self.slots = ("first", "second") if how.optimizer == "adam" else ("momentum",)
        self.kept = {slot: {name: torch.zeros_like(each) for name, each in tensors.items()} for slot in self.slots}
        self.count = 0
        """Iterations in which it stepped."""
        self.steps = torch.zeros(next(iter(tensors.values())).shape[1], dtype=torch.int64) if fresh else None

    def step(self, gradients: Mapping[str, Tensor], rate: float, where: Where, first: bool = True) -> None:
        """Gradients (G, A, …) of the A units at `where`; not the `first` step: another of the same iteration."""
        self.count += first
        if self.steps is not None:
            self.steps[_here(where)] += 1
        if self.how.clip:
            gradients = clipped(gradients, self.how.clip)
        for name, gradient in gradients.items():
            whole = [self.tensors[name], *(self.kept[slot][name] for slot in self.slots)]
            parts = [each[:, _there(where)] for each in whole]  # of a prefix a view, of places a copy
            if self.how.optimizer == "adam":
                self._adam(gradient, rate, where, *parts)
            else:
                self._sgd(gradient, rate, *parts)
            if not isinstance(where, slice):
                for each, part in zip(whole, parts, strict=True):
                    each[:, where.there] = part

    def _adam(self, gradient: Tensor, rate: float, where: Where, value: Tensor, first: Tensor, second: Tensor) -> None:
        """One tensor's step, in place."""
        (beta_1, beta_2), epsilon = self.how.settings["betas"], self.how.settings["eps"]
        first.lerp_(gradient, 1 - beta_1)
        second.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        for run, count in self._counted(where):
            size, correction = rate / (1 - beta_1**count), (1 - beta_2**count) ** 0.5
            value[:, run].addcdiv_(first[:, run], (second[:, run].sqrt() / correction).add_(epsilon), value=-size)

    def _counted(self, where: Where) -> Iterator[tuple[slice, int]]:
        """Neighbours among the units at `where` that have taken as many steps, and how many: numbers, which need no copy."""
        if self.steps is None:
            yield ALL_UNITS, self.count
            return
        first = 0
        for count, alike in groupby(self.steps[_here(where)].tolist()):
            end = first + len(list(alike))
            yield slice(first, end), count
            first = end

    def _sgd(self, gradient: Tensor, rate: float, value: Tensor, momentum: Tensor) -> None:
        """As torch has it: the first step's buffer is its gradient."""
        momentum.mul_(self.how.settings["momentum"]).add_(gradient)
        value.add_(momentum, alpha=-rate)

    def state(self) -> Tensors:
        """All but the tensors and the count, for checkpoints."""
        own = {f"{slot}.{name}": each for slot, kept in self.kept.items() for name, each in kept.items()}
        return own if self.steps is None else {**own, "steps": self.steps}


def clipped(gradients: Mapping[str, Tensor], most: float) -> Tensors:
    """Gradients (G, A, …), each group's shortened to norm `most` over all its tensors where it is longer."""
    squares = torch.stack([each.flatten(1).square().sum(dim=1) for each in gradients.values()])
    share = (most / squares.sum(dim=0).sqrt()).clamp_max(1.0)
    return {name: each * share.view(-1, *[1] * (each.ndim - 1)) for name, each in gradients.items()}


def _here(where: Where) -> slice | Tensor:
    return where if isinstance(where, slice) else where.here


def _there(where: Where) -> slice | Tensor:
    return where if isinstance(where, slice) else where.there
