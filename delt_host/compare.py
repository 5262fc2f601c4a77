"""The fair table: mean and spread over seeds, and differences to each baseline paired by seed, with their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from delt_host.experiment import Experiment, Row
from delt_host.results import Measurement
from delt_host.units import decimals

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """n values: mean and sample standard deviation (NaN for n = 1, where there is no spread to see)."""

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        if not values:
            return cls(float("nan"), float("nan"), 0)
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        return cls(statistics.fmean(values), spread, len(values))


@dataclass(frozen=True)
class Difference:
    """A paired difference over the seeds that both rows have: row minus other."""

    other: str
    mean: float
    low: float
    """Lower end of the 95 % confidence interval (Student's t over seeds); NaN for a single seed."""
    high: float
    n: int
    better: str = "higher"
    """Which scores are better: `higher` or `lower`."""
    decimals: int = 1

    @property
    def sentence(self) -> str:
        """What can be told from it, e.g. `ahead of cda by 2.1 ± 0.6 (95 %, 3 seeds)`."""
        seeds, digits = f"{self.n} seed{'s' * (self.n != 1)}", self.decimals
        if self.n < 2:
            return f"{self.mean:+.{digits}f} to {self.other} ({seeds}: no spread to judge by)"
        half = (self.high - self.low) / 2
        if self.low > 0 or self.high < 0:
            word = "ahead of" if (self.mean > 0) == (self.better == "higher") else "behind"
            return f"{word} {self.other} by {abs(self.mean):.{digits}f} ± {half:.{digits}f} (95 %, {seeds})"
        change = f"{self.mean:+.{digits}f} ± {half:.{digits}f}"
        return f"no difference to {self.other} can be told: {change} (95 %, {seeds})"


def paired_difference(
    mine: dict[int, float], others: dict[int, float], name: str, better: str = "higher", decimals: int = 1
) -> Difference:
    """The difference over common seeds with its confidence interval."""
    deltas = [mine[seed] - others[seed] for seed in sorted(mine.keys() & others.keys())]
    if not deltas:
        return Difference(name, float("nan"), float("nan"), float("nan"), 0, better, decimals)
    mean = statistics.fmean(deltas)
    if len(deltas) == 1:
        return Difference(name, mean, float("nan"), float("nan"), 1, better, decimals)
    half = half_interval(deltas)
    return Difference(name, mean, mean - half, mean + half, len(deltas), better, decimals)


def half_interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean (Student's t); NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


@dataclass(frozen=True)
class Line:
    """One row of the table under one evaluator."""

    row: Row
    evaluator: str
    score: str
    """The name of the headline score."""
    better: str
    """Which of its values are better: `higher` or `lower`."""
    unit: str
    summary: Summary
    best: Summary | None
    """The best tested epoch, chosen on the test set: shown for comparison with papers, never what is reported."""
    scores: dict[int, float]
    """By seed."""
    differences: tuple[Difference, ...]
    per_class: dict[str, float]
    """Mean over seeds of each class's accuracy."""
    epochs: int
    steps: int
    batch_size: int
    image_iterations: int
    recover_seconds: float
    """Mean over seeds of the time that recovery took when it was computed."""
    train_seconds: float
    image_bytes: int
    label_bytes: int
    labels: str
    failures: tuple[str, ...]
    provenance: str = "measured"


def compare(experiment: Experiment, measurements: Sequence[Measurement]) -> list[Line]:
    """The lines of the table, in the order of the rows, for each evaluator."""
    labels = list(dict.fromkeys(m.row.label for m in measurements))
    lines = []
    for place, evaluator in enumerate(experiment.evaluators):
        own: dict[str, list[Measurement]] = {label: [] for label in labels}
        for measurement in measurements:
            if measurement.evaluator == evaluator or (measurement.failure and place == 0):
                own[measurement.row.label].append(measurement)
        scores = {label: {m.seed: m.score for m in group if m.evaluation} for label, group in own.items()}
        for label in labels:
            if own[label]:
                lines.append(_line(own[label], scores))
    return lines


def _line(group: Sequence[Measurement], scores: dict[str, dict[int, float]]) -> Line:
    row, component = group[0].row, group[0].evaluator.component
    done = [m for m in group if m.evaluation is not None]
    facts = [m.evaluation.facts for m in done if m.evaluation]
    named = [m.evaluation.scores for m in done if m.evaluation]
    # A row that failed, or was scored under other seeds alone, is no row to differ from.
    common = [other for other in scores if scores[other].keys() & scores[row.label].keys()]
    others = [other for other in common if other != row.label and row.role == "method"]
    first = done[0] if done else None
    classes = facts[0].get("per_class", {}) if facts else {}
    return Line(
        row=row,
        evaluator=component.title,
        score=component.headline,
        better=component.better,
        unit=component.unit,
        summary=Summary.of(list(scores[row.label].values())),
        best=Summary.of([s["best"] for s in named]) if named and all("best" in s for s in named) else None,
        scores=scores[row.label],
        differences=tuple(
            paired_difference(scores[row.label], scores[other], other, component.better, decimals(component.unit))
            for other in others
        ),
        per_class={name: statistics.fmean(f["per_class"][name] for f in facts) for name in classes},
        epochs=facts[0].get("epochs", 0) if facts else 0,
        steps=facts[0].get("steps", 0) if facts else 0,
        batch_size=facts[0].get("batch_size", 0) if facts else 0,
        image_iterations=group[0].plan.image_iterations if group[0].plan else 0,
        recover_seconds=statistics.fmean(m.recover_seconds for m in done) if done else 0.0,
        train_seconds=statistics.fmean(f.get("train_seconds", 0.0) for f in facts) if facts else 0.0,
        image_bytes=first.distilled.pixels.numel() if first and first.distilled is not None else 0,
        label_bytes=first.labels.size_bytes if first and first.labels is not None else 0,
        labels=row.relabeler.name,
        failures=tuple(m.failure for m in group if m.failure),
    )


def line_record(line: Line) -> dict[str, Any]:
    """The line as JSON-able data; NaN becomes null."""
    record = {
        "label": line.row.label,
        "role": line.row.role,
        "method": line.row.method,
        "ipc": line.row.ipc or None,
        "matched": line.row.matched,
        "components": {stage: named.table() for stage, named in line.row.stages().items()},
        "evaluator": line.evaluator,
        "score": line.score,
        **{name: getattr(line, name) for name in line.__dataclass_fields__ if name not in _NESTED},
        "summary": asdict(line.summary),
        "best": asdict(line.best) if line.best else None,
        "differences": [{**asdict(d), "sentence": d.sentence} for d in line.differences],
    }
    cleaned: dict[str, Any] = finite(record)
    return cleaned


_NESTED = ("row", "summary", "best", "differences", "evaluator", "score")


def finite(value: Any) -> Any:
    """JSON-able data with null for every number that is not finite: JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
