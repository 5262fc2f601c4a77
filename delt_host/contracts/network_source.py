"""Network sources: where the network comes from that images are matched with, in each iteration.

The decoupled family asks one trained teacher all along (`frozen`). Distribution matching draws random weights anew, gradient
matching trains them between matches, others keep a pool: those are plugins of the hook `delt_network_sources`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from torch import Tensor, nn

from delt_host.contracts.plan import Phase
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem

Current = Callable[[], tuple["Tensor", "Tensor"]]
"""A group's set as it stands, all of its units, decoded, detached and not augmented: images (N, 3, S, S), normalised, and their
learned labels (N, C), as logits, or, where none are learned, their classes (N,)."""


class Networks(ABC):
    """The networks of one group, iteration by iteration."""

    @abstractmethod
    def at(self, iteration: int, current: Current) -> nn.Module:
        """This iteration's network, on the device, whose parameters require no gradient: who wants theirs calls it with
        parameters of their own (`delt_host.toolbox`). Asked once an iteration, in their order."""

    def state(self) -> dict[str, Tensor]:
        """All that later iterations depend on, for checkpoints."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027 - most keep nothing
        """Go on from what `state` gave."""


class NetworkSource(Preparing):
    """Gives a matcher its network; an option of every matcher: ``--set matcher.networks=NAME``."""

    stackable: ClassVar[bool] = False
    """Whether all groups see the same networks, so that several may go through one pass."""

    name: str
    """The name it is registered by, which tells it from others in recipes: ``name: Literal["mine"] = "mine"``."""

    @abstractmethod
    def bind(self, problem: Problem, group: int) -> Networks:
        """The networks of one group, by its place in the plan. Called again where the group goes on after a kill. Draw with
        ``problem.generator("networks", group, iteration, …)``."""

    def architectures(self, problem: Problem) -> tuple[str, ...]:
        """The models that its networks are of, which take turns: part of keys and of the cost."""
        return (problem.teacher.architecture,)

    def passes(self, problem: Problem, phase: Phase) -> float:
        """How many images its networks are trained on meanwhile."""
        return 0.0


class Frozen(NetworkSource):
    """The teacher as it is, in eval mode."""

    stackable: ClassVar[bool] = True

    name: Literal["frozen"] = "frozen"
    """Its name."""

    def bind(self, problem: Problem, group: int) -> Networks:
        return _Teacher(problem)

    def architectures(self, problem: Problem) -> tuple[str, ...]:
        return tuple(teacher.architecture for teacher in problem.teachers)


class _Teacher(Networks):
    def __init__(self, problem: Problem) -> None:
        self.network = problem.network

    def at(self, iteration: int, current: Current) -> nn.Module:
        return self.network
