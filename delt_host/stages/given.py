"""Sets that are there already, so that nothing is distilled: those of an earlier run, and the whole real set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from delt_host.basics.errors import RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.problem import Problem
from delt_host.contracts.sets import Cost, Distilled
from delt_host.experiment.experiment import Column, Experiment, Row

Saved = Callable[[RealData, Row, int], Distilled]
"""The distilled set of a row and seed that an earlier run left; RunError where it left none."""

CEILING = "whole real set"


@dataclass(frozen=True)
class Given:
    """A set that is there: what it is known by, and how it is read when somebody wants its images."""

    key: str
    read: Callable[[], Distilled]

    @classmethod
    def of(cls, saved: Saved, problem: Problem, row: Row, seen: dict[tuple[str, int], tuple[str, int]]) -> Given:
        """A saved set; `seen` keeps its fingerprint and how many images it has. RunError where these are not as many as the
        problem asks for."""
        seed = problem.seed
        read = partial(saved, problem.data, row, seed)
        if (row.label, seed) not in seen:
            found = read()
            seen[row.label, seed] = found.fingerprint, len(found.targets)
        fingerprint, count = seen[row.label, seed]
        if count != problem.num_images:
            raise RunError(
                f"the set of {row.label}, seed {seed}, has {count} images, not the {problem.num_images} of its recipe"
            )
        return cls(fingerprint, read)


def whole(experiment: Experiment, problem: Problem) -> tuple[Problem, Given, tuple[Column, ...]]:
    """The whole real training set in place of a distilled one, what no distilled set is expected to pass; under each regime
    with as many steps as go through all of it in the ceiling's epochs."""
    train, epochs = problem.data.train, experiment.ceiling_epochs
    fewest = int(torch.bincount(train.targets, minlength=problem.num_classes).min())  # as many as every class has
    problem = dataclasses.replace(problem, ipc=fewest)

    def longer(column: Column) -> Column:
        named = column.protocol
        steps = epochs * named.component.steps_an_epoch(problem, len(train))
        protocol = named.component.model_copy(update={"epochs": epochs, "steps": steps})
        return dataclasses.replace(column, protocol=dataclasses.replace(named, component=protocol))

    def read() -> Distilled:
        return Distilled.of_reader(train, problem.data.fingerprint, Cost())

    return problem, Given(problem.data.fingerprint, read), tuple(map(longer, experiment.regimes))
