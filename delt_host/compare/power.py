"""How many sets and students would tell a difference, by what a few have shown of its spread and of what they cost.

Only contrasts are looked at, those of sets about their mean and of students about their set's, never a difference itself: that
is what keeps intervals exact afterwards, see `intervals`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from scipy.special import stdtrit

from delt_host.basics.errors import RunError
from delt_host.compare.intervals import CONFIDENCE, Deltas, Design, deltas, spread
from delt_host.compare.records import design_of, headline_rows, reference
from delt_host.contracts.results import Results

AFTER = 3
"""The fewest sets after a pilot of one teacher: with fewer the interval, which is theirs, is wider than the pilot's."""
MOST_STUDENTS = 8
"""Of a set: beyond that a set's own spread is all that is left."""
MOST_SETS = 1000


class Wanted(NamedTuple):
    """What a pilot says is needed."""

    sets: int
    """In all, those of the pilot among them."""
    students: int
    """Of each set, those of the pilot among them."""
    resolution: float
    """Half the width of the widest 95 % interval that is expected, in the evaluator's unit. With several teachers it is what
    sets and students leave: how teachers differ is in it only as far as sets show it. NaN where no two rows have scores."""


@dataclass(frozen=True)
class Costs:
    """Seconds of all rows together."""

    set: float
    """To make one set of each."""
    student: float
    """To label for and train one student of each set, under all regimes, by all evaluators."""


def wanted(results: Results, points: float, *, pilot: int, seconds: float = math.inf, workers: int = 1) -> Wanted:
    """How many sets and students tell every row from the reference to ± `points`, or as many as the budget allows.

    Args:
        results: Of the pilot: its first `pilot` sets of each teacher, with the students that they have.
        points: In the unit of the first evaluator's headline, above 0; 0 for as many as fit into the budget.
        pilot: Sets of each teacher that the pilot has; further ones are not looked at.
        seconds: What is left of the budget.
        workers: How many work side by side.

    Raises:
        RunError: No two rows have scores to compare, or there is a budget and nobody wrote down what sets or students took.
    """
    design, rows = design_of(results, pilot), headline_rows(results)
    looked = design.looked_at()
    found = []
    for regime in rows.values():
        if (against := reference(results, regime)) is not None:
            for label, values in regime.items():
                if label != against:
                    found.append({n: d for n, d in deltas(values, regime[against]).items() if n in looked})
    found = [each for each in found if each]
    if not found:
        raise RunError("there is no difference to resolve: fewer than two rows of the pilot have scores")
    return decide(found, points, design, costs(results), seconds * workers)


def decide(
    found: Sequence[Deltas], points: float, design: Design, cost: Costs | None = None, seconds: float = math.inf
) -> Wanted:
    """The arithmetic of `wanted`, on the differences of a pilot: one mapping for each row and regime.

    `seconds`: of work that is left, however many share it.
    """
    if cost is None and seconds < math.inf:
        raise RunError("the budget cannot be told: nobody wrote down what the pilot's sets or students took")
    teachers = len(design.by_teacher(design.order)) or 1
    looked = sorted({number for each in found for number in each}) or list(design.order)
    before = max(len(looked), design.pilot * teachers)
    shown = [one for each in found if (one := _Shown.of(each, design)) is not None]
    fewest = max((len(own) for each in found for own in each.values()), default=1)
    least = before + AFTER if teachers == 1 else -(-(before + 1) // teachers) * teachers
    if teachers > 1 and before % teachers == 0:
        least = before  # each teacher's sets stay alike in number; more are needed only where sets differ much

    def needed(students: int) -> int:
        """Sets in all, for each teacher alike; as many as a run may have at the most."""
        most = max(before, MOST_SETS // students // teachers * teachers)
        sets = min(max(least, -(-_needed(shown, points, students, teachers) // teachers) * teachers), most)
        return sets if sets >= least else before

    students = _students(shown, cost, fewest)
    while students > fewest and needed(students) * students > MOST_SETS:
        students -= 1
    sets = needed(students)
    if seconds < math.inf and cost is not None:
        fitting = {  # first with the better number, then with the pilot's
            number: _within(seconds, cost, needed(number), before, number - fewest, number, teachers)
            for number in (students, fewest)
        }
        students = next((number for number, sets in fitting.items() if sets >= least), fewest)
        sets = fitting[students] if fitting[students] >= least else before
    return Wanted(sets, students, _resolution(shown, sets, students, before, teachers))


@dataclass(frozen=True)
class _Shown:
    """What a pilot showed of the spread of a difference: variances."""

    within: float
    """Of sets' means, of one teacher."""
    degrees: int
    student: float
    """0 where there is but one."""
    students: int

    @classmethod
    def of(cls, values: Deltas, design: Design) -> _Shown | None:
        groups = design.by_teacher(values)
        degrees = sum(len(sets) - 1 for sets in groups.values())
        if not degrees:
            return None
        means = {number: [fmean(own)] for number, own in values.items()}
        squares = sum(
            (means[number][0] - fmean(means[each][0] for each in sets)) ** 2
            for sets in groups.values()
            for number in sets
        )
        student = spread(values, groups).student or 0.0
        return cls(squares / degrees, degrees, student**2, max(map(len, values.values())))

    @property
    def set(self) -> float:
        """Of sets with all students in the world."""
        return max(self.within - self.student / self.students, 0.0)

    def of_means(self, students: int) -> float:
        """Of sets' means, with so many students of each."""
        least = self.student / students
        return max(self.within - self.student / self.students + least, least)


def _students(shown: Sequence[_Shown], cost: Costs | None, fewest: int) -> int:
    """How many of a set cost least for what they tell, by all differences together: a set's share is not told well by one."""
    student, of_set = sum(one.student for one in shown), sum(one.set for one in shown)
    if cost is None or not cost.student or not student:
        return fewest
    if not of_set:
        return max(fewest, MOST_STUDENTS)
    return min(max(fewest, round(math.sqrt(cost.set * student / (cost.student * of_set)))), max(fewest, MOST_STUDENTS))


def _needed(shown: Sequence[_Shown], points: float, students: int, teachers: int) -> int:
    """Stein's number of sets; of several teachers by the quantile that their interval has, as if they did not differ."""
    if points <= 0:
        return MOST_SETS
    most = 0.0
    for one in shown:
        quantile = float(stdtrit(one.degrees if teachers == 1 else teachers - 1, (1 + CONFIDENCE) / 2))
        most = max(most, quantile**2 * one.of_means(students) / points**2)
    return MOST_SETS if most > MOST_SETS else math.ceil(most)


def _within(seconds: float, cost: Costs, sets: int, before: int, more: int, students: int, teachers: int) -> int:
    """As many sets of so many students, of all that are needed, as the work that is left allows; 0 where it does not even allow
    so many more students for the sets before."""
    left = seconds - before * more * cost.student
    each = cost.set + students * cost.student
    if left < 0:
        return 0
    fitting = sets if each <= 0 else before + math.floor(min(left / each, MOST_SETS))
    return min(sets, fitting // teachers * teachers)


def _resolution(shown: Sequence[_Shown], sets: int, students: int, before: int, teachers: int) -> float:
    """Half the widest interval that is expected."""
    degrees = teachers - 1 if teachers > 1 else sets - before or sets - 1
    if not shown or degrees < 1:
        return math.nan
    quantile = float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
    return max(quantile * math.sqrt(one.of_means(students) / sets) for one in shown)


def costs(results: Results) -> Costs | None:
    """What one more set, and one more student of it, takes for all rows; None where nobody wrote it down."""
    per = {evaluator.title: evaluator.per for evaluator in results.evaluators}
    made: dict[str, dict[int, float | None]] = {}
    scored: dict[tuple[str, str, str], list[float | None]] = {}
    for score in results.scores:
        if not score.failure and per.get(score.evaluator) != "table":  # which take no time
            made.setdefault(score.row, {})[score.set] = score.set_seconds
            scored.setdefault((score.row, score.regime, score.evaluator), []).append(score.seconds)
    of_set = [_mean(list(own.values())) for own in made.values()]
    alone = [_mean(own) for place, own in scored.items() if per.get(place[2]) != "regime"]
    student = [_mean(own) for place, own in scored.items() if per.get(place[2]) == "regime"]
    if None in (every := [*of_set, *alone, *student]) or not every:
        return None
    return Costs(sum(each or 0 for each in of_set + alone), sum(each or 0 for each in student))


def _mean(values: Sequence[float | None]) -> float | None:
    known: Mapping[int, float] = {place: value for place, value in enumerate(values) if value is not None}
    return fmean(known.values()) if values and len(known) == len(values) else None
