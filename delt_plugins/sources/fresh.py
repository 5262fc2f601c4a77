"""Networks to match images with that nobody trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from delt_host import Current, Networks, NetworkSource, Problem
from delt_host.toolbox import drawn_network

WITHOUT_TEACHER = "convnet3"


class Built(NetworkSource):
    """What the sources share that build networks, and are in no hook themselves."""

    model: str = ""
    """The networks' model; empty: the teacher's architecture, and `convnet3` in a run without a teacher."""

    def architecture(self, problem: Problem) -> str:
        return self.model or (problem.teacher.architecture if problem.teachers else WITHOUT_TEACHER)

    def architectures(self, problem: Problem) -> tuple[str, ...]:
        return (self.architecture(problem),)


class Fresh(Built):
    """New random weights each iteration, or every few, in train mode."""

    source: ClassVar[str] = "DM, main_DM.py"

    name: Literal["fresh"] = "fresh"
    """Its name."""
    period: int = Field(1, ge=1)
    """Iterations for which a network stays."""

    def bind(self, problem: Problem, group: int) -> Networks:
        return _Fresh(self, problem, group)


class _Fresh(Networks):
    def __init__(self, options: Fresh, problem: Problem, group: int) -> None:
        self.options, self.problem, self.group = options, problem, group
        self.network: nn.Module | None = None

    def at(self, iteration: int, current: Current) -> nn.Module:
        if self.network is None or iteration % self.options.period == 0:
            purpose = ("networks", self.group, iteration, "weights")
            self.network = drawn_network(self.problem, self.options.architecture(self.problem), *purpose)
        return self.network.train()

    def state(self) -> dict[str, Tensor]:
        """BatchNorm's statistics have moved since it was drawn."""
        keep = self.network is not None and self.options.period > 1
        return dict(self.network.state_dict()) if keep and self.network is not None else {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        if state:
            self.network = drawn_network(self.problem, self.options.architecture(self.problem), "networks", "of a kill")
            self.network.load_state_dict(dict(state))
