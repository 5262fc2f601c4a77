"""What every reader works out of a run's scores, alike: each row's mean and spread under each evaluator."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from delt_host.basics.errors import InputError
from delt_host.basics.units import decimals
from delt_host.compare import shares
from delt_host.contracts.results import Difference, EvaluatorRecord, RegimeRecord, Results, RowRecord, Score


@dataclass(frozen=True)
class Summary:
    """n values: mean (NaN for n = 0) and sample standard deviation (NaN for n < 2, where there is no spread to see)."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        mean = statistics.fmean(values) if values else math.nan
        return cls(mean, statistics.stdev(values) if len(values) > 1 else math.nan, len(values))

    def shown(self, digits: int = 1) -> str:
        """`64.5 ± 1.6`, without a spread where there is none, and a dash where there is no value."""
        if self.n == 0:
            return "–"
        return f"{self.mean:.{digits}f}" + ("" if math.isnan(self.std) else f" ± {self.std:.{digits}f}")


@dataclass(frozen=True)
class Line:
    """A row under one evaluator and regime, with its scores of every set."""

    row: RowRecord
    regime: RegimeRecord | None
    """None where the scores are the sets', whatever students are told."""
    evaluator: EvaluatorRecord
    scores: tuple[Score, ...]
    """The failed among them."""
    differences: tuple[Difference, ...]
    point: Mapping[str, Any] = field(default_factory=dict)
    """What its run varies, where a table is of several: `{"ipc": 10}`."""

    @property
    def digits(self) -> int:
        """Figures behind the point of its scores."""
        return decimals(self.evaluator.unit)

    @property
    def column(self) -> str:
        """The regime's name; empty without one."""
        return self.regime.name if self.regime else ""

    @cached_property
    def done(self) -> list[Score]:
        """Those that did not fail."""
        return [score for score in self.scores if not score.failure]

    @property
    def failures(self) -> list[str]:
        """Why others did, each reason once."""
        return list(dict.fromkeys(score.failure for score in self.scores if score.failure))

    def by_set(self, name: str) -> dict[int, float]:
        """A named score of every set that has it: the mean over its students."""
        found: dict[int, list[float]] = {}
        for score in self.done:
            if (value := score.scores.get(name)) is not None:
                found.setdefault(score.set, []).append(value)
        return {number: statistics.fmean(values) for number, values in found.items()}

    @property
    def students(self) -> int:
        """How many students each set has."""
        return len({score.student for score in self.scores})

    @cached_property
    def headline(self) -> dict[int, float]:
        """What the table shows, by set."""
        return self.by_set(self.evaluator.headline)

    @property
    def summary(self) -> Summary:
        """Over sets."""
        return Summary.of(list(self.headline.values()))

    @property
    def called(self) -> str:
        """The row's label, marked where its scores are of less than a fifth of the published budget."""
        return shares.called(self.row, self.column)

    @property
    def share_of_steps(self) -> float | None:
        """Its students' steps over the published ones; None where there are none."""
        return self.row.shares_of_steps.get(self.column)

    def shown(self, summary: Summary) -> str:
        """Its scores, or those of its best epochs, as tables show them: `64.5 ± 1.6`, marked likewise."""
        return summary.shown(self.digits) + (shares.mark(self.row, self.column) if summary.n else "")

    @property
    def best(self) -> Summary:
        """The best tested epoch, chosen on the test set: shown for comparison with papers, never what is reported."""
        return Summary.of(list(self.by_set("best").values()))

    @property
    def steps(self) -> int:
        """Optimiser steps of a student; 0 for an evaluator that trains none."""
        return int(next(_numbers(self.done, "steps"), 0))

    @property
    def train_seconds(self) -> float:
        """The mean time that a student took; 0 where none was trained."""
        return statistics.fmean([*_numbers(self.done, "train_seconds")] or [0.0])

    @property
    def recover_seconds(self) -> float | None:
        """The mean time that recovering a set took; None where one is not known."""
        seconds = [score.recover_seconds for score in self.done]
        known = [each for each in seconds if each is not None]
        return statistics.fmean(known) if known and len(known) == len(seconds) else None

    @property
    def label_bytes(self) -> int:
        """Of one set."""
        return self.done[0].label_bytes if self.done else 0

    @property
    def provenance(self) -> str:
        return ", ".join(dict.fromkeys(score.provenance for score in self.done))


def _numbers(scores: Iterable[Score], fact: str) -> Iterator[float]:
    """A fact of every score where it is a number: evaluators of others may keep something else under its name."""
    return (value for score in scores if isinstance(value := score.facts.get(fact), int | float))


@dataclass(frozen=True)
class Point:
    """A run of several that one table is of."""

    varied: Mapping[str, Any]
    """In what it differs from the others, such as `{"dataset": "digits", "ipc": 10}`."""
    results: Results


def not_measured(lines: Iterable[Line]) -> bool:
    """Whether some score is not `measured`, so that a table has to say where each is from."""
    return any(score.provenance != "measured" for line in lines for score in line.done)


def check_one_split(runs: Iterable[Results]) -> None:
    """InputError where some of these are scored on test images, and others on validation images."""
    if len(splits := {results.split for results in runs}) > 1:
        raise InputError(
            f"some of the runs are scored on {' images, others on '.join(sorted(splits))} images, which no table compares: "
            "name those with one --validate"
        )


def lines_over(points: Iterable[Point]) -> list[Line]:
    """The lines of several runs, each with its run's point. InputError where not all are scored on one split."""
    points = list(points)
    check_one_split(point.results for point in points)
    return [replace(line, point=point.varied) for point in points for line in lines(point.results)]


def lines(results: Results) -> list[Line]:
    """Each row under each evaluator and regime, in the order of the table; without those that nobody tried to score."""
    found = []
    for evaluator in results.evaluators:
        for regime in (None, *results.regimes):
            for row in results.rows:
                place = (row.label, regime.name if regime else "", evaluator.title)
                own = tuple(s for s in results.scores if (s.row, s.regime, s.evaluator) == place)
                told = tuple(d for d in results.differences if (d.row, d.regime, d.evaluator) == place)
                if own:
                    found.append(Line(row, regime, evaluator, own, told))
    return found
