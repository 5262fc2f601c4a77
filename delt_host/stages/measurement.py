"""What a run measures while it lasts, one for each row, seed, regime and evaluator, and the records that are left of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from delt_host.contracts.evaluator import Evaluation
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.results import CostRecord, RowRecord, Score
from delt_host.contracts.sets import Cost, Distilled
from delt_host.experiment.experiment import Experiment, Named, Row
from delt_host.stages.host import Host
from delt_host.stages.shares import shares
from delt_host.store.entry import UNKEPT


@dataclass(frozen=True)
class Measurement:
    """One row under one set seed, evaluator, regime and student."""

    row: Row
    seed: int
    evaluator: Named[Any]
    regime: str = ""
    """Its name; empty where the evaluator scores sets, whatever students are told."""
    student: int = 0
    teacher: int = 0
    """The seed of teachers."""
    evaluation: Evaluation | None = None
    plan: Plan | None = None
    distilled: Distilled | None = None
    """For whoever is told of it; None where the row failed, and of the ceiling, which is the training set itself."""
    cost: Cost | None = None
    """What it took to make the set."""
    units: int | None = None
    """Stored units a class."""
    count: int | None = None
    """Images a class that they decode to."""
    image_bytes: int = 0
    label_bytes: int = 0
    set_seconds: float | None = None
    """What was made for the set took."""
    seconds: float | None = None
    """Labels and scores took, of this student alone."""
    failure: str = ""
    split: Literal["test", "validation"] = "test"
    """What it was scored on."""
    key: str = ""
    """Of the scores in the store."""

    @cached_property
    def score(self) -> Score:
        """Its record, which observers are told and results.json holds."""
        evaluation, cost = self.evaluation, self.cost
        return Score(
            row=self.row.label,
            regime=self.regime,
            evaluator=self.evaluator.component.title,
            set=self.seed,
            student=self.student,
            teacher=self.teacher,
            split=self.split,
            scores=evaluation.scores if evaluation else {},
            label_bytes=self.label_bytes,
            facts=evaluation.facts if evaluation else {},
            recover_seconds=cost.seconds if cost else None,
            set_seconds=self.set_seconds,
            seconds=self.seconds,
            key="" if self.key.startswith(UNKEPT) else self.key,
            failure=self.failure,
        )


def row_record(experiment: Experiment, problem: Problem, host: Host, measurements: Sequence[Measurement]) -> RowRecord:
    """The record of the row that all of these are of."""
    first = measurements[0]
    row, costs = first.row, [measured.cost for measured in measurements if measured.cost is not None]
    peaks = [cost.peak_bytes for cost in costs if math.isfinite(cost.peak_bytes)]
    whole = row.role == "ceiling"
    return RowRecord(
        label=row.label,
        role=row.role,
        method=row.method,
        name=row.name,
        varied=row.varied,
        components={stage: named.table() for stage, named in row.stages().items()},
        form=row.form.name,
        ipc=None if whole else experiment.ipc,
        units=None if whole else first.units,
        count=None if whole else first.count,
        matched=row.matched,
        image_bytes=max(measured.image_bytes for measured in measurements),
        cost=CostRecord(
            image_iterations=first.plan.image_iterations if first.plan else 0,
            multiply_adds=costs[0].multiply_adds if costs else None,
            peak_bytes=max(peaks, default=None),
        ),
        **shares(row, first.plan, problem, experiment.regimes, host),
    )
