"""The optimisers of what is learned: steps on some of a group's units, whose state is each unit's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from delt_host.plan import Learned

Tensors = dict[str, Tensor]
Where = slice | Tensor
"""Which units of each group: a prefix, or places."""


class Optimiser(ABC):
    """Steps on tensors (G, U, …) of G groups of U units, all groups together, only at the units that are named.

    A unit without a step has neither gradient nor motion: for Adam that is what zero gradients from the beginning would do, at
    the cost of the units that do step.
    """

    slots: tuple[str, ...]
    """What it keeps beside each tensor."""

    def __init__(self, tensors: Tensors, how: Learned) -> None:
        """`tensors` are updated in place."""
        self.tensors, self.how = tensors, how
        self.kept = {slot: {name: torch.zeros_like(each) for name, each in tensors.items()} for slot in self.slots}
        self.count = 0
        """Iterations in which it stepped."""

    def step(self, gradients: Mapping[str, Tensor], rate: float, where: Where, first: bool = True) -> None:
        """Gradients (G, A, …) of the A units at `where`; not the `first` step: another of the same iteration."""
        self.count += first
        if self.how.clip:
            gradients = clipped(gradients, self.how.clip)
        for name, gradient in gradients.items():
            whole = [self.tensors[name], *(self.kept[slot][name] for slot in self.slots)]
            parts = [each[:, where] for each in whole]  # of a prefix a view, of places a copy
            self.update(gradient, rate, where, *parts)
            if not isinstance(where, slice):
                for each, part in zip(whole, parts, strict=True):
                    each[:, where] = part
        self.stepped(where)

    @abstractmethod
    def update(self, gradient: Tensor, rate: float, where: Where, value: Tensor, *kept: Tensor) -> None:
        """One tensor's step, in place."""

    def stepped(self, where: Where) -> None:  # noqa: B027 - only some count
        """After all tensors have stepped."""

    def state(self) -> Tensors:
        """All but the tensors and the count, for checkpoints."""
        return {f"{slot}.{name}": each for slot, kept in self.kept.items() for name, each in kept.items()}

    def load(self, state: Mapping[str, Tensor], count: int) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self.count = count


class Adam(Optimiser):
    """Adam whose later joiners share the step count of the others, or count their own.

    Units that have not joined have zero moments: the published single Adam, with its step count shared, does the same.
    """

    slots = ("first", "second")

    def __init__(self, tensors: Tensors, how: Learned, fresh: bool = False) -> None:
        """`fresh`: each unit counts its own steps."""
        super().__init__(tensors, how)
        self.steps = torch.zeros(next(iter(tensors.values())).shape[1], dtype=torch.float64) if fresh else None

    def update(self, gradient: Tensor, rate: float, where: Where, value: Tensor, *kept: Tensor) -> None:
        (first, second), (beta_1, beta_2), epsilon = kept, self.how.settings["betas"], self.how.settings["eps"]
        first.lerp_(gradient, 1 - beta_1)
        second.mul_(beta_2).addcmul_(gradient, gradient, value=1 - beta_2)
        if self.steps is None:
            size, correction = rate / (1 - beta_1**self.count), (1 - beta_2**self.count) ** 0.5
            value.addcdiv_(first, (second.sqrt() / correction).add_(epsilon), value=-size)
        else:
            own = (self.steps[_on_cpu(where)] + 1).view(-1, *[1] * (value.ndim - 2)).to(value.device)
            sizes = (rate / (1 - beta_1**own)).to(value.dtype)
            corrections = ((1 - beta_2**own) ** 0.5).to(value.dtype)
            value -= sizes * first / (second.sqrt() / corrections + epsilon)

    def stepped(self, where: Where) -> None:
        if self.steps is not None:
            self.steps[_on_cpu(where)] += 1

    def state(self) -> Tensors:
        own = {} if self.steps is None else {"steps": self.steps}
        return {**super().state(), **own}


class Sgd(Optimiser):
    """SGD with momentum, as torch has it: the first step's buffer is its gradient."""

    slots = ("momentum",)

    def update(self, gradient: Tensor, rate: float, where: Where, value: Tensor, *kept: Tensor) -> None:
        (momentum,) = kept
        momentum.mul_(self.how.settings["momentum"]).add_(gradient)
        value.add_(momentum, alpha=-rate)


def optimiser(tensors: Tensors, how: Learned, fresh: bool = False) -> Optimiser:
    """The one that `how` names; `fresh`: under Adam, each unit counts its own steps."""
    return Adam(tensors, how, fresh) if how.optimizer == "adam" else Sgd(tensors, how)


def clipped(gradients: Mapping[str, Tensor], most: float) -> Tensors:
    """Gradients (G, A, …), each group's shortened to norm `most` over all its tensors where it is longer."""
    squares = torch.stack([each.flatten(1).square().sum(dim=1) for each in gradients.values()])
    share = (most / squares.sum(dim=0).sqrt()).clamp_max(1.0)
    return {name: each * share.view(-1, *[1] * (each.ndim - 1)) for name, each in gradients.items()}


def _on_cpu(where: Where) -> Where:
    return where if isinstance(where, slice) else where.cpu()
