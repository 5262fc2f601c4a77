"""Networks to match images with that are trained, but no teachers: a pool, while images are recovered, and points between the
first and last weights of experts, before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from delt_host import Checkpoint, Current, Networks, Passes, Phase, Prepared, Problem
from delt_host.toolbox import (
    RealBatch,
    RealBatches,
    cutmix_box,
    drawn_network,
    generator,
    isolated_rng,
    moved,
    network_identity,
    outlined_network,
    siamese,
)
from delt_plugins.sources.fresh import Built


class _Training(Built):
    """How networks are trained: SGD on batches, with DSA's operations where they are named."""

    batch: int = Field(256, ge=1)
    """Images in a training step, or all there are."""
    learning_rate: float = Field(0.01, gt=0)
    """SGD's rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """SGD's momentum."""
    weight_decay: float = Field(5e-4, ge=0)
    """SGD's weight decay."""
    siamese: str = ""
    """DSA's operations, as in color_crop_cutout_flip_scale_rotate, one of them drawn for a batch; empty: none."""
    cutmix: float = Field(0.0, ge=0, le=1)
    """The share of batches that are mixed by CutMix, with a box of uniform area (IDC)."""

    @field_validator("siamese")
    @classmethod
    def _siamese_is_one(cls, given: str) -> str:
        if given:
            siamese.parse_strategy(given)
        return given

    def optimizer(self, network: nn.Module) -> torch.optim.SGD:
        rate, momentum, decay = self.learning_rate, self.momentum, self.weight_decay
        return torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum, weight_decay=decay)

    def step(
        self,
        problem: Problem,
        network: nn.Module,
        optimizer: torch.optim.SGD,
        batch: RealBatch,
        rng: torch.Generator,
    ) -> None:
        """One step on images (n, 3, S, S) and their classes (n,) or logits (n, C)."""
        images, labels = batch
        labels = labels if labels.ndim == 1 else labels.softmax(dim=1)
        share, within = 1.0, None
        if self.siamese:
            operation, drawn = siamese.draw(rng, len(images), self.siamese)
            images = siamese.augment(images, operation, *moved(problem.compute.device, drawn))
        if self.cutmix and float(torch.rand(1, generator=rng)) < self.cutmix:
            share, (top, left, bottom, right) = cutmix_box(rng, 1.0, images.shape[-1])
            (within,) = moved(problem.compute.device, torch.randperm(len(images), generator=rng))
            images = images.clone()
            images[:, :, top:bottom, left:right] = images[within, :, top:bottom, left:right]
        with problem.compute.autocast():
            logits = network(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits.float(), labels)
        if within is not None:
            loss = share * loss + (1 - share) * F.cross_entropy(logits.float(), labels[within])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


class Pool(_Training):
    """Networks that are trained while images are, on real images or on the set as it stands; each iteration draws one.

    A network is first given with its random weights, then trained for some steps before each later visit, and replaced by
    another when it has had its visits. With `size` 1 this is gradient matching's loop between matches.
    """

    source: ClassVar[str] = "DC, algorithm 1; IDC, section 4.2; IDM, section 3.2"

    name: Literal["pool"] = "pool"
    """Its name."""
    size: int = Field(1, ge=1)
    """Networks in the pool."""
    max_age: int = Field(100, ge=1)
    """Visits of a network before it is replaced."""
    trained_on: Literal["real", "current"] = "real"
    """`real`: the training set; `current`: the group's images as they stand, with their learned labels where there are any."""
    steps: int = Field(10, ge=0)
    """Training steps before each visit but the first, each on images drawn anew; they say nothing beside `epochs`."""
    epochs: int = Field(0, ge=0)
    """Epochs before each visit but the first, over all that it is trained on, in place of `steps`; 0: there are none."""

    def bind(self, problem: Problem, group: int) -> Networks:
        return _Pool(self, problem, group)

    def passes(self, problem: Problem, phase: Phase) -> float:
        images = len(problem.data.train) if self.trained_on == "real" else problem.num_images
        each = self.epochs * images if self.epochs else self.steps * min(self.batch, images)
        return float(phase.iterations * each)

    def batches(self, images: int, rng: torch.Generator) -> Iterator[Tensor]:
        """Which of so many images each training step of a visit takes: places (n,) on the CPU, drawn when asked for."""
        for _ in range(self.epochs):
            yield from torch.randperm(images, generator=rng).split(self.batch)
        for _ in range(0 if self.epochs else self.steps):
            yield torch.randperm(images, generator=rng)[: self.batch]


class _Pool(Networks):
    def __init__(self, options: Pool, problem: Problem, group: int) -> None:
        self.options, self.problem, self.group = options, problem, group
        self.members: dict[int, tuple[nn.Module, torch.optim.SGD]] = {}
        self.ages = torch.zeros(options.size, dtype=torch.int64)
        self.real = RealBatches(problem)

    def at(self, iteration: int, current: Current) -> nn.Module:
        purpose = ("networks", self.group, iteration)
        rng = self.problem.generator(*purpose)
        place = int(torch.randint(self.options.size, (1,), generator=rng))
        if place not in self.members or self.ages[place] >= self.options.max_age:
            self._draw(place, *purpose, "weights")
        else:
            with self.problem.isolated(*purpose, "dropout"):
                self._train(place, current, rng)
        self.ages[place] += 1
        return self.members[place][0].train()

    def _draw(self, place: int, *purpose: str | int) -> None:
        network = drawn_network(self.problem, self.options.architecture(self.problem), *purpose)
        self.members[place], self.ages[place] = (network, self.options.optimizer(network)), 0

    def _train(self, place: int, current: Current, rng: torch.Generator) -> None:
        network, optimizer = self.members[place]
        network.train().requires_grad_(True)
        # the set stands still during a visit: decoded once
        images, labels = current() if self.options.trained_on == "current" else (None, None)
        count = len(self.problem.data.train) if images is None else len(images)
        for chosen in self.options.batches(count, rng):
            if images is None or labels is None:
                batch = self.real.at(chosen)
            else:
                (places,) = moved(images.device, chosen)
                batch = images[places], labels[places]
            self.options.step(self.problem, network, optimizer, batch, rng)
        network.requires_grad_(False)

    def state(self) -> dict[str, Tensor]:
        members = {place: _kept(*member) for place, member in self.members.items()}
        return {"ages": self.ages} | {
            f"{place}.{name}": t for place, kept in members.items() for name, t in kept.items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        for place in sorted({int(name.partition(".")[0]) for name in state if name != "ages"}):
            self._draw(place, "networks", "of a kill")
            own = f"{place}."
            _load(*self.members[place], {n.removeprefix(own): t for n, t in state.items() if n.startswith(own)})
        self.ages.copy_(state["ages"])


class Interpolated(_Training):
    """Points between the first and last weights of networks that were trained on real images, drawn anew each iteration."""

    source: ClassVar[str] = "DANCE, NCFM: the networks of their matching"

    name: Literal["interpolated"] = "interpolated"
    """Its name."""
    experts: int = Field(4, ge=1)
    """Networks that are trained, once for the data."""
    epochs: int = Field(3, ge=1)
    """Epochs of each."""
    decay: Literal["constant", "linear", "steps"] = "constant"
    """Of their rate: `linear` to 0 at the last step, `steps`: a fifth after two thirds, a fifth of that after five sixths."""

    def share_of_rate(self, done: int, steps: int) -> float:
        """In 0..1: of the rate, when so many of all steps are done.

        >>> [round(Interpolated(decay="steps").share_of_rate(done, 6), 2) for done in range(6)]
        [1.0, 1.0, 1.0, 1.0, 0.2, 0.04]
        """
        if self.decay == "steps":
            return 0.2 ** ((3 * done >= 2 * steps) + (6 * done >= 5 * steps))
        return 1 - done / steps if self.decay == "linear" else 1.0

    def prepares(self, problem: Problem) -> list[Prepared]:
        batch = self._batch(problem)
        cost = Passes(self.architecture(problem), "training", self.epochs * self._steps(problem) * batch, batch)
        inputs = {
            "model": network_identity(self.architecture(problem), problem.models),
            "options": self.model_dump(mode="json", exclude={"experts", "model", "name"}),
        }
        return [
            Prepared(
                f"expert {place + 1}",
                partial(self._expert, problem, place),
                (cost,),
                {**inputs, "expert": place},
                size_bytes=partial(self._size_bytes, problem),
            )
            for place in range(self.experts)
        ]

    def _size_bytes(self, problem: Problem) -> int:
        """Of the weights at either end."""
        state = outlined_network(problem, self.architecture(problem)).state_dict()
        return 2 * sum(tensor.nbytes for tensor in state.values())

    def _batch(self, problem: Problem) -> int:
        return min(self.batch, len(problem.data.train))

    def _steps(self, problem: Problem) -> int:
        return len(problem.data.train) // self._batch(problem)

    def _expert(self, problem: Problem, place: int, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Weights `first.NAME` and `last.NAME`. They are the data's, whatever the seed: draws are by the expert's number."""
        draw = ("interpolated", "expert", place)
        with isolated_rng(0, *draw, "weights"):
            network = drawn_network(problem, self.architecture(problem))
        first = {f"first.{name}": tensor.cpu().clone() for name, tensor in network.state_dict().items()}
        optimizer, real = self.optimizer(network), RealBatches(problem)
        done = 0
        if found := checkpoint.load():
            done = int(found[1]["epochs"])
            _load(network, optimizer, found[0])
        steps, batch = self._steps(problem), self._batch(problem)
        problem.advance(done * steps * batch)
        network.train().requires_grad_(True)
        for epoch in range(done, self.epochs):
            rng = generator(0, *draw, epoch)
            order = torch.randperm(len(problem.data.train), generator=rng)[: steps * batch]
            with isolated_rng(0, *draw, epoch, "dropout"):
                for nth, chosen in enumerate(order.split(batch)):
                    share = self.share_of_rate(epoch * steps + nth, self.epochs * steps)
                    optimizer.param_groups[0]["lr"] = self.learning_rate * share
                    self.step(problem, network, optimizer, real.at(chosen), rng)
                    problem.advance(batch)
            if checkpoint.due:
                checkpoint.save(_kept(network, optimizer), {"epochs": epoch + 1})
        return {**first, **{f"last.{name}": tensor.cpu() for name, tensor in network.state_dict().items()}}

    def trained(self, problem: Problem) -> list[nn.Module]:
        """The experts with their last weights, in train mode, their parameters without gradient."""
        found = []
        for what in self.prepares(problem):
            network = drawn_network(problem, self.architecture(problem), "networks", "trained")
            kept = problem.prepared(what)
            last = {name.removeprefix("last."): each for name, each in kept.items() if name.startswith("last.")}
            network.load_state_dict({name: each.to(problem.compute.device) for name, each in last.items()})
            found.append(network)
        return found

    def bind(self, problem: Problem, group: int) -> Networks:
        return _Interpolated(self, problem, group)


class _Interpolated(Networks):
    def __init__(self, options: Interpolated, problem: Problem, group: int) -> None:
        self.problem, self.group = problem, group
        self.experts = [
            {name: tensor.to(problem.compute.device) for name, tensor in problem.prepared(what).items()}
            for what in options.prepares(problem)
        ]
        self.network = drawn_network(problem, options.architecture(problem), "networks", "interpolated")

    def at(self, iteration: int, current: Current) -> nn.Module:
        rng = self.problem.generator("networks", self.group, iteration)
        expert = self.experts[int(torch.randint(len(self.experts), (1,), generator=rng))]
        share = float(torch.rand(1, generator=rng))
        weights = {}
        for name in self.network.state_dict():
            first, last = expert[f"first.{name}"], expert[f"last.{name}"]
            weights[name] = torch.lerp(first, last, share) if first.is_floating_point() else last
        self.network.load_state_dict(weights)
        return self.network.train()


def _kept(network: nn.Module, optimizer: torch.optim.SGD) -> dict[str, Tensor]:
    """Weights and momenta."""
    found = {f"weights.{name}": tensor for name, tensor in network.state_dict().items()}
    for nth, parameter in enumerate(network.parameters()):
        if (momentum := optimizer.state[parameter].get("momentum_buffer")) is not None:
            found[f"momentum.{nth}"] = momentum
    return found


def _load(network: nn.Module, optimizer: torch.optim.SGD, kept: Mapping[str, Tensor]) -> None:
    """What `_kept` gave, back in its place."""
    network.load_state_dict({n.removeprefix("weights."): t for n, t in kept.items() if n.startswith("weights.")})
    for nth, parameter in enumerate(network.parameters()):
        if (momentum := kept.get(f"momentum.{nth}")) is not None:
            own = torch.empty_like(parameter)  # in the parameter's layout, as the optimiser made it
            optimizer.state[parameter]["momentum_buffer"] = own.copy_(momentum)
