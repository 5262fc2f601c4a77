"""What a run measured, one record for each row, seed and evaluator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from delt_host.components import Distilled, Evaluation, Labels
from delt_host.experiment import Named, Row
from delt_host.history import History
from delt_host.plan import Plan


@dataclass(frozen=True)
class Measurement:
    """One row under one seed and evaluator."""

    row: Row
    seed: int
    evaluator: Named[Any]
    evaluation: Evaluation | None = None
    plan: Plan | None = None
    distilled: Distilled | None = None
    labels: Labels | None = None
    history: History | None = None
    """None where nothing was distilled."""
    failure: str = ""

    @property
    def recover_seconds(self) -> float:
        """Seconds that recovery took when it was computed; NaN where nobody wrote them down."""
        return self.distilled.cost.seconds if self.distilled and self.distilled.cost else float("nan")

    @property
    def score(self) -> float:
        """The evaluator's headline score."""
        if self.evaluation is None:
            return float("nan")
        return self.evaluation.scores[self.evaluator.component.headline]
