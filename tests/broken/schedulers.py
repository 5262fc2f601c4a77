"""Schedulers that break a promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from broken import STATE, breaks
from delt_host import (
    Curve,
    Group,
    Phase,
    Plan,
    Problem,
    Scheduler,
)

# Schedulers

RATES = {"images": Curve.constant(0.05)}


def whole(problem: Problem, units: Sequence[int] | None = None, **phase: Any) -> Plan:
    units = tuple(range(problem.num_units) if units is None else units)
    return Plan(
        groups=(
            Group(images=units, phases=(Phase(**{"active": len(units), "iterations": 2, "rates": RATES, **phase}),)),
        )
    )


@breaks("it raised IndexError: tuple index out of range (")
class AsksFirst(Scheduler):
    def plan(self, problem):
        return whole(problem) if problem.teachers[0] else None


@breaks("the weights of the teacher (convnet3) do not fit the network")
class AsksNetwork(Scheduler):
    def plan(self, problem):
        return whole(problem) if problem.network else None


@breaks("reads images, and plans are made before there are any to look at")
class ReadsImages(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=1 + int(problem.data.train.read(torch.arange(2)).float().mean()))


@breaks("the plan leaves 4 of 40 units as they start, the first of class 9")
class OmitsAClass(Scheduler):
    def plan(self, problem):
        return whole(problem, range(problem.num_units - problem.units))


@breaks("the plan leaves 40 of 40 units as they start")
class NoGroup(Scheduler):
    def plan(self, problem):
        return Plan(groups=())


@breaks("the plan leaves 39 of 40 units as they start")
class OneActive(Scheduler):
    def plan(self, problem):
        return whole(problem, active=1)


@breaks("the plan names unit 40, but there are 40")
class OneTooMany(Scheduler):
    def plan(self, problem):
        return whole(problem, range(1, problem.num_units + 1))


@breaks("puts a unit into two groups")
class Twice(Scheduler):
    def plan(self, problem):
        return Plan(groups=whole(problem).groups * 2)


@breaks("Phase.iterations: Input should be greater than 0")
class NoIterations(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=0)


@breaks("it raised ZeroDivisionError: integer division or modulo by zero (")
class AtOneImage(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=8 // (problem.ipc - 1))


@breaks("plan() gives a dict, not a Plan")
class Table(Scheduler):
    def plan(self, problem):
        return whole(problem).model_dump()


@breaks("two plans for one problem differ")
class Moody(Scheduler):
    def plan(self, problem):
        STATE.append(1)
        return whole(problem, iterations=len(STATE))


@breaks("stretched(0.5) makes 2 iterations of 16")
class BadStretch(Scheduler):
    iterations: int = 16
    """Iterations."""

    def plan(self, problem):
        return whole(problem, iterations=self.iterations)

    def stretched(self, share):
        return type(self)(iterations=2)
