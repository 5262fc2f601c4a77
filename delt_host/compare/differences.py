"""Differences between rows, paired by set, with their intervals, and what can be told from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from scipy.special import stdtrit

from delt_host.basics.units import decimals
from delt_host.compare.intervals import CONFIDENCE, Compared, Interval, family
from delt_host.compare.records import design_of, reference, tables
from delt_host.compare.shares import called
from delt_host.contracts.results import Difference, Results, Spreads


def half_interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean (Student's t); NaN for fewer than two values."""
    if len(values) < 2:
        return float("nan")
    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def verdict(compared: Compared, other: str, better: str = "higher", unit: str = "%") -> str:
    """What can be told from it, e.g. `ahead of cda by 2.1 ± 0.6 (95 %, 3 seeds)`."""
    found, digits = compared.found, decimals(unit)
    seeds, mean, half = counted(found), f"{found.mean:+.{digits}f}", f"{found.half():.{digits}f}"
    if found.error == 0:
        return f"no difference to {other}: the same score in each of {seeds}"
    if math.isnan(found.error):
        return f"{mean} to {other} ({seeds}{', alike' * (found.sets > 1 and found.degrees > 0)}: no spread to judge by)"
    if found.low <= 0 <= found.high:
        return f"no difference to {other} can be told: {mean} ± {half} (95 %, {seeds})"
    word = "ahead of" if (found.mean > 0) == (better == "higher") else "behind"
    alone = "" if compared.told else f" alone, but not told among {compared.rows} rows"
    return f"{word} {other} by {abs(found.mean):.{digits}f} ± {half}{alone} (95 %, {seeds})"


def counted(found: Interval) -> str:
    """`3 seeds of 2 students, 2 seeds of teachers`, without what there is one of."""
    said = f"{found.sets} seed{'s' * (found.sets != 1)}"
    said += f" of {found.students} students" if found.students > 1 else ""
    return said + (f", {found.teachers} seeds of teachers" if found.teachers > 1 else "")


def compare(results: Results) -> tuple[Difference, ...]:
    """Each method's differences to all other rows, and every row's to the reference, by evaluator and within a regime.

    Rows are held together by Holm's procedure where they are compared with one: with the reference, else with the method, of
    two methods the first of the table; so a pair is told both ways round or not at all.
    """
    design, evaluators = design_of(results), {each.title: each for each in results.evaluators}
    roles, rows_by_label = {row.label: row.role for row in results.rows}, {row.label: row for row in results.rows}
    found = []
    for (title, regime), rows in tables(results).items():
        against, evaluator = reference(results, rows), evaluators[title]
        families = {hub: family(rows, hub, design) for hub in rows if hub == against or roles[hub] == "method"}
        for label in rows:
            for other in rows if roles[label] == "method" else filter(None, (against,)):
                hub = (
                    against if against in (label, other) else next(each for each in families if each in (label, other))
                )
                compared = families[hub or ""].get(label if hub == other else other)
                if label == other or compared is None:
                    continue
                compared = compared if hub == other else compared.turned()
                one = compared.found
                difference = Difference(
                    row=label,
                    other=other,
                    regime=regime,
                    evaluator=title,
                    split=results.split,
                    mean=one.mean,
                    low=one.low,
                    high=one.high,
                    sets=one.sets,
                    students=one.students,
                    teachers=one.teachers,
                    p=one.p,
                    told=compared.told,
                    spreads=Spreads(set=one.spreads.set, student=one.spreads.student, teacher=one.spreads.teacher),
                    method=one.method,
                    sentence=verdict(compared, called(rows_by_label[other], regime), evaluator.better, evaluator.unit),
                )
                found.append(difference)
    return tuple(found)
