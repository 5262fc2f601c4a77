"""Differences between rows, paired by set, with their intervals, and what can be told from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from scipy.special import stdtrit  # what scipy.stats.t.ppf calls, and half a second faster to import

from delt_host.basics.units import decimals
from delt_host.compare.lines import lines
from delt_host.contracts.results import Difference, Results

CONFIDENCE = 0.95
METHOD = "paired t over sets, 95 %"


class Paired(NamedTuple):
    """A difference over the sets that two rows have: one minus the other."""

    mean: float
    low: float
    """Lower end of the 95 % confidence interval (Student's t over sets); NaN for a single set."""
    high: float
    sets: int


def paired(mine: Mapping[int, float], others: Mapping[int, float]) -> Paired | None:
    """The difference over common sets; None where there are none."""
    deltas = [mine[number] - others[number] for number in sorted(mine.keys() & others.keys())]
    if not deltas:
        return None
    mean, half = statistics.fmean(deltas), half_interval(deltas)
    return Paired(mean, mean - half, mean + half, len(deltas))


def half_interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean (Student's t); NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan")
    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def verdict(found: Paired, other: str, better: str = "higher", unit: str = "%", students: int = 1) -> str:
    """What can be told from it, e.g. `ahead of cda by 2.1 ± 0.6 (95 %, 3 seeds)`."""
    seeds, digits = f"{found.sets} seed{'s' * (found.sets != 1)}", decimals(unit)
    seeds += f" of {students} students" if students > 1 else ""
    if found.sets < 2:
        return f"{found.mean:+.{digits}f} to {other} ({seeds}: no spread to judge by)"
    half = (found.high - found.low) / 2
    if found.low > 0 or found.high < 0:
        word = "ahead of" if (found.mean > 0) == (better == "higher") else "behind"
        return f"{word} {other} by {abs(found.mean):.{digits}f} ± {half:.{digits}f} (95 %, {seeds})"
    return f"no difference to {other} can be told: {found.mean:+.{digits}f} ± {half:.{digits}f} (95 %, {seeds})"


def compare(results: Results) -> tuple[Difference, ...]:
    """Each method's differences to all other rows that were scored under a common set, by evaluator and within a regime."""
    differences = []
    for _, table in groupby(lines(results), lambda line: (line.evaluator.title, line.column)):
        for line in (together := list(table)):
            others = [other for other in together if other is not line and line.row.role == "method"]
            for other in others:
                found = paired(line.headline, other.headline)
                if found is not None:
                    evaluator, label = line.evaluator, other.row.label
                    difference = Difference(
                        row=line.row.label,
                        other=label,
                        regime=line.column,
                        evaluator=evaluator.title,
                        **found._asdict(),
                        students=line.students,
                        method=METHOD,
                        sentence=verdict(found, label, evaluator.better, evaluator.unit, line.students),
                    )
                    differences.append(difference)
    return tuple(differences)
