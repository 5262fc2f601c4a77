"""Networks to match images with that are trained, but no teachers: a pool, while images are recovered, and points between the
first and last weights of experts, before."""

from __future__ import annotations

from collections.abc import Mapping
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
    drawn_network,
    generator,
    isolated_rng,
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
        if self.siamese:
            images = siamese.augment(images, *siamese.draw(rng, len(images), self.siamese))
        with problem.compute.autocast():
            logits = network(images.contiguous(memory_format=torch.channels_last))
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(logits.float(), labels if labels.ndim == 1 else labels.softmax(dim=1)).backward()
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
    """Training steps before each visit but the first."""

    def bind(self, problem: Problem, group: int) -> Networks:
        return _Pool(self, problem, group)

    def passes(self, problem: Problem, phase: Phase) -> float:
        most = self.batch if self.trained_on == "real" else min(self.batch, problem.num_images)
        return float(phase.iterations * self.steps * most)


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
        for _ in range(self.options.steps):
            if self.options.trained_on == "real":
                batch = self.real.of_all(self.options.batch, rng)
            else:
                images, labels = current()
                chosen = torch.randperm(len(images), generator=rng)[: self.options.batch].to(images.device)
                batch = images[chosen], labels[chosen]
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
                for chosen in order.split(batch):
                    self.step(problem, network, optimizer, real.at(chosen), rng)
                    problem.advance(batch)
            if checkpoint.due:
                checkpoint.save(_kept(network, optimizer), {"epochs": epoch + 1})
        return {**first, **{f"last.{name}": tensor.cpu() for name, tensor in network.state_dict().items()}}

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
