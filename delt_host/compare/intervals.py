"""Intervals of a difference between two rows, for students nested in sets and sets nested in teachers.

Plain mappings in, numbers out, so that a simulation can go through the same arithmetic as a table. A value is

    difference of a student = mean + teacher + set + student,    each of the three a normal draw with its own variance,

and what stands in a table is the mean over a set's students, over sets, over teachers. With sets of one teacher the interval
is Student's t over sets; with several, over the means of teachers, which alone are independent of each other.

**After a pilot** (C. Stein, *A two-sample test for a linear hypothesis whose power is independent of the variance*, 1945: look
once, then go on) the spread of the pilot's sets decided how many sets and students there are, so it takes no part in the
interval: where it is small by chance there are few sets, and an interval that used it would be too narrow just there. What is
left are the sets that came after, and the contrast of their mean to the pilot's: both independent of all contrasts within the
pilot and of the mean, whatever was decided by them, so that t with as many degrees is exact.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from scipy.special import stdtr, stdtrit  # what scipy.stats.t calls, and half a second faster to import

CONFIDENCE = 0.95
LEVEL = 0.05
"""Of Holm's procedure: the chance that anything is told where there is nothing."""

Values = Mapping[int, Mapping[int, float]]
"""Scores of a row: by set, by student."""
Deltas = Mapping[int, Sequence[float]]
"""Differences between two rows: by set, one for each student that both have."""


@dataclass(frozen=True)
class Design:
    """How the sets of a run came about."""

    order: Sequence[int] = ()
    """The sets, as they were asked for; what is not among them comes after."""
    pilot: int = 0
    """How many of the first sets, of each teacher, decided how many there are; 0: nobody looked."""
    teachers: Mapping[int, int] = field(default_factory=dict)
    """Each set's seed of teachers; 0 for those that are not here."""

    def teacher(self, number: int) -> int:
        """Of a set."""
        return self.teachers.get(number, 0)

    def by_teacher(self, sets: Collection[int]) -> dict[int, list[int]]:
        """The sets of each teacher, in order."""
        places = {number: place for place, number in enumerate(self.order)}
        found: dict[int, list[int]] = {}
        for number in sorted(sets, key=lambda each: (places.get(each, len(places)), each)):
            found.setdefault(self.teacher(number), []).append(number)
        return found

    def looked_at(self) -> set[int]:
        """The sets of the pilot, whether a row has them or not."""
        chosen = self.by_teacher(self.order).values()
        return {number for own in chosen for number in own[: self.pilot]}


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a difference by where they are from; None where the run has too few to tell."""

    set: float | None = None
    student: float | None = None
    teacher: float | None = None


@dataclass(frozen=True)
class Interval:
    """What is known of a difference: its mean, the error of that, and where it is from."""

    mean: float
    error: float
    """Standard error of the mean; NaN where there is no spread to judge by."""
    degrees: int
    """Of freedom, of Student's t."""
    sets: int
    students: int
    """Of each set; the most, where some failed."""
    teachers: int
    spreads: Spread
    piloted: bool = False
    """Whether the spread of a pilot was left out."""

    def half(self, confidence: float = CONFIDENCE) -> float:
        """Half the width of the interval; NaN where there is no spread to judge by."""
        return self.error * float(stdtrit(self.degrees, (1 + confidence) / 2)) if self.degrees else math.nan

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval; NaN likewise."""
        return self.mean - self.half()

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half()

    @property
    def p(self) -> float | None:
        """Of the hypothesis that there is no difference, two-sided; None where there is no spread to judge by."""
        if math.isnan(self.error) or not self.degrees:
            return None
        if self.error == 0:  # equal in every set: two rows of the same images
            return 1.0
        return float(2 * stdtr(self.degrees, -abs(self.mean) / self.error))

    @property
    def method(self) -> str:
        """How the interval was made."""
        if self.teachers > 1:
            return "paired t over the means of teachers, 95 %"
        return "paired t over sets" + ", the pilot's spread left out" * self.piloted + ", 95 %"


def deltas(mine: Values, others: Values) -> dict[int, list[float]]:
    """One row minus another, by set, over the students that both have: their means where they have none in common."""
    found: dict[int, list[float]] = {}
    for number in sorted(mine.keys() & others.keys()):
        own, other = mine[number], others[number]
        if common := sorted(own.keys() & other.keys()):
            found[number] = [own[student] - other[student] for student in common]
        elif own and other:
            found[number] = [fmean(own.values()) - fmean(other.values())]
    return found


def interval(values: Deltas, design: Design = Design()) -> Interval | None:
    """What is known of the mean of these differences; None where there is none."""
    if not values:
        return None
    means = {number: fmean(own) for number, own in values.items()}
    groups = design.by_teacher(means)
    piloted = False
    if len(groups) > 1:
        each = [fmean(means[number] for number in sets) for sets in groups.values()]
        mean, error, degrees = _of_mean(each)
    else:
        (sets,) = groups.values()
        looked = design.looked_at() if design.pilot else set()
        first = [means[number] for number in sets if number in looked]
        rest = [means[number] for number in sets if number not in looked]
        piloted = bool(first and rest)
        mean, error, degrees = _of_two_stages(first, rest) if piloted else _of_mean(first or rest)
    students = max(map(len, values.values()))
    return Interval(mean, error, degrees, len(means), students, len(groups), spread(values, groups), piloted)


def _of_mean(values: Sequence[float]) -> tuple[float, float, int]:
    """Mean, standard error and degrees of freedom."""
    mean, n = fmean(values), len(values)
    return mean, _error(mean, math.fsum((value - mean) ** 2 for value in values), n - 1, n), n - 1


def _of_two_stages(first: Sequence[float], rest: Sequence[float]) -> tuple[float, float, int]:
    """Likewise, by the sets after a pilot and the contrast between both."""
    n_0, n_2 = len(first), len(rest)
    n, mean_0, mean_2 = n_0 + n_2, fmean(first), fmean(rest)
    squares = math.fsum((value - mean_2) ** 2 for value in rest) + n_0 * n_2 / n * (mean_0 - mean_2) ** 2
    mean = (n_0 * mean_0 + n_2 * mean_2) / n
    return mean, _error(mean, squares, n_2, n), n_2


def _error(mean: float, squares: float, degrees: int, n: int) -> float:
    """Standard error of a mean; NaN where there is no spread to judge by.

    A difference that is the same in all of a few sets is one of a coarse score, as of a hundred test images: by chance often,
    and no proof. Rounding is no spread either.
    """
    if degrees < 1:
        return math.nan
    error = math.sqrt(squares / degrees / n)
    if error <= 1e-12 * abs(mean):
        return math.nan if mean else 0.0
    return error


def spread(values: Deltas, groups: Mapping[int, Sequence[int]]) -> Spread:
    """Set, student and teacher told apart: analysis of variance, method of moments, none below 0.

    `groups`: the sets of each teacher. A teacher's mean varies by its sets too, and a set's by its students.
    """
    means = {number: fmean(own) for number, own in values.items()}
    student = _pooled(values.values())
    within = _pooled([[means[number] for number in sets] for sets in groups.values()])
    of_set = of_teacher = None
    if within is not None and student is not None:
        of_set = within - student * fmean(1 / len(own) for own in values.values())
    if within is not None and len(groups) > 1:
        among = _pooled([[fmean(means[number] for number in sets) for sets in groups.values()]])
        assert among is not None
        of_teacher = among - within * fmean(1 / len(sets) for sets in groups.values())
    return Spread(_root(of_set), _root(student), _root(of_teacher))


def _pooled(groups: Collection[Sequence[float]]) -> float | None:
    """The variance within groups; None where each has but one."""
    degrees = sum(len(group) - 1 for group in groups)
    if not degrees:
        return None
    means = ((group, fmean(group)) for group in groups)
    return math.fsum((value - mean) ** 2 for group, mean in means for value in group) / degrees


def _root(variance: float | None) -> float | None:
    return None if variance is None else math.sqrt(max(variance, 0.0))


def holm(ps: Sequence[float | None], level: float = LEVEL) -> list[bool]:
    """Which hypotheses are refused so that the chance of refusing any true one is at most `level` (S. Holm, 1979).

    The smallest p is held against level / m, the next against level / (m − 1), and so on until one is not refused. Those
    without a p are none of the m.
    """
    places = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    refused = [False] * len(ps)
    for step, (p, place) in enumerate(places):
        if p > level / (len(places) - step):
            break
        refused[place] = True
    return refused


@dataclass(frozen=True)
class Compared:
    """A row's difference to another, and whether it is told among the rows that are compared with that one."""

    found: Interval
    told: bool
    rows: int
    """How many are compared with it, by Holm's count."""
    level: float
    """What its p was held against."""

    def turned(self) -> Compared:
        """The other row's difference to this one."""
        return replace(self, found=replace(self.found, mean=-self.found.mean))


def family(rows: Mapping[str, Values], other: str, design: Design = Design()) -> dict[str, Compared]:
    """The differences of all rows to one of them, by label; without those that have no set in common with it."""
    found = {}
    for label, values in rows.items():
        if label != other and (one := interval(deltas(values, rows[other]), design)) is not None:
            found[label] = one
    ps = {label: one.p for label, one in found.items()}
    ranked = [label for _, label in sorted((p, label) for label, p in ps.items() if p is not None)]
    held = len(ranked)
    levels = {label: LEVEL / (held - step) for step, label in enumerate(ranked)}
    told = dict(zip(found, holm(list(ps.values())), strict=True))
    return {label: Compared(one, told[label], held, levels.get(label, LEVEL)) for label, one in found.items()}
