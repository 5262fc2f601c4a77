"""What a table answers, in plain sentences: one for each regime, one on all of them, and what would tell the rest.

All of them are on the first evaluator. That images do not matter is never said for want of power: where nothing is told, the
sentence is on how much may have been missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from scipy.special import stdtrit

from delt_host.basics.units import decimals, roughly
from delt_host.compare.differences import counted
from delt_host.compare.intervals import LEVEL, Compared, Design, Interval, Values, family
from delt_host.compare.power import MOST_SETS, costs
from delt_host.compare.records import design_of, headline_rows, reference
from delt_host.compare.shares import called, note
from delt_host.contracts.results import EvaluatorRecord, Results

POWER = 0.8
"""The chance that what is said to be needed would tell a difference, were it what it seems."""
MOST_NAMED = 3
"""Of what would tell what, in one sentence: the cheapest."""


@dataclass(frozen=True)
class _Regime:
    """What was found under one."""

    name: str
    """Empty where the table has but one."""
    evaluator: EvaluatorRecord
    means: dict[str, float]
    """Of each row but the ceiling, the better first."""
    reference: str
    control: bool
    """Whether the reference is one."""
    compared: dict[str, Compared]
    """The others with the reference, told as the table tells them."""
    best: str
    second: str
    between: Compared | None
    """The best row's difference to the second, among all that are compared with the best."""

    @property
    def under(self) -> str:
        """` under hard`."""
        return f" under {self.name}" if self.name else ""

    def said(self, value: float, sign: bool = False) -> str:
        """A score or a difference, with as many figures as the table has."""
        digits = decimals(self.evaluator.unit)
        return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"  # a minus before nothing says nothing

    def plus_minus(self, found: Interval) -> str:
        """`3.2 ± 1.1`"""
        return f"{self.said(abs(found.mean))} ± {self.said(found.half())}"

    def ahead(self, found: Interval) -> bool:
        """Whether a difference is one for the better."""
        return (found.mean > 0) == (self.evaluator.better == "higher")

    @property
    def seen(self) -> list[tuple[str, Interval]]:
        """The differences to the reference that have an interval."""
        return [(label, one.found) for label, one in self.compared.items() if not math.isnan(one.found.error)]

    @property
    def told(self) -> list[tuple[str, Interval]]:
        """Those that are told, the largest first."""
        found = [(label, one.found) for label, one in self.compared.items() if one.told]
        return sorted(found, key=lambda each: -abs(each[1].mean))

    @property
    def most(self) -> float:
        """What any row may differ by from the reference at most: all rows together are within it 95 times in 100."""
        return max((abs(one.mean) + self._half_of_all(one) for _, one in self.seen), default=math.nan)

    @property
    def least(self) -> float:
        """What some row that is told differs by at least, likewise; 0 where none is told."""
        return max((abs(one.mean) - self._half_of_all(one) for _, one in self.told), default=0.0)

    def _half_of_all(self, found: Interval) -> float:
        return found.half(1 - LEVEL / max(len(self.seen), 1))


def answers(results: Results) -> list[str]:
    """Sentences for every display, without markup, and what marks say; none where there is nothing to compare or marked."""
    return [*_answers(results), *filter(None, [note(results.rows)])]


def _answers(results: Results) -> list[str]:
    regimes = list(_regimes(results))
    several = len(regimes) > 1
    if not regimes:
        return []
    if not any(regime.seen for regime in regimes):
        alike = any(one.found.sets > 1 for regime in regimes for one in regime.compared.values())
        if alike:
            return ["All sets differ alike: no spread to judge by, so nothing is told."]
        if not any(regime.compared for regime in regimes):
            return ["No two rows have a set in common by which they could be compared."]
        return ["One seed tells no rows apart: --seeds 3 or more shows by how much they vary."]
    said = []
    for regime in regimes:
        said += [sentence for sentence in (_answer(regime), _best(regime)) if sentence]
    if several:
        said.append(_together(regimes))
    return said + [sentence for regime in regimes if (sentence := _would_tell(results, regime))]


def _regimes(results: Results) -> Iterator[_Regime]:
    design, roles = design_of(results), {row.label: row.role for row in results.rows}
    several = len(results.regimes) > 1
    for name, rows in headline_rows(results).items():
        own: dict[str, Values] = {label: values for label, values in rows.items() if roles[label] != "ceiling"}
        against = reference(results, own)
        if against is None or len(own) < 2:
            continue
        control, named = roles[against] == "control", {row.label: called(row, name) for row in results.rows}
        every, own = ({named[label]: values for label, values in each.items()} for each in (rows, own))
        against = named[against]
        evaluator = results.evaluators[0]
        compared = {label: one for label, one in family(every, against, design).items() if label in own}
        means = {label: fmean(fmean(each.values()) for each in values.values()) for label, values in own.items()}
        ranked = sorted(own, key=lambda label: means[label], reverse=evaluator.better == "higher")
        best, second = ranked[:2]
        if against in (best, second):  # the same words as the answer has
            pair = compared.get(second if best == against else best)
            between = pair and (pair.turned() if best == against else pair)
        else:
            pair = family(own, best, design).get(second)
            between = pair and pair.turned()
        yield _Regime(
            name if several else "",
            evaluator,
            {label: means[label] for label in ranked},
            against,
            control,
            compared,
            best,
            second,
            between,
        )


def _answer(regime: _Regime) -> str:
    """What the comparison with the reference says."""
    ahead = [f"{label} by {regime.plus_minus(one)}" for label, one in regime.told if regime.ahead(one)]
    behind = [f"{label} by {regime.plus_minus(one)}" for label, one in regime.told if not regime.ahead(one)]
    left = [f"{label} ({_seen(regime, one.found)})" for label, one in regime.compared.items() if not one.told]
    parts = [f"ahead of {regime.reference}: {', '.join(ahead)}"] if ahead else []
    parts += [f"behind {regime.reference}: {', '.join(behind)}"] if behind else []
    parts += [f"not told from {regime.reference}: {', '.join(left)}"] if left else []
    if not parts:
        return ""
    seeds = dict.fromkeys(counted(one.found) for one in regime.compared.values())
    return _sentence(f"{regime.name + ': ' if regime.name else ''}{'; '.join(parts)} (95 %, {' or '.join(seeds)}).")


def _seen(regime: _Regime, found: Interval) -> str:
    if math.isnan(found.error):
        return f"{regime.said(found.mean, sign=True)} in {'each set' if found.sets > 1 else 'one set'}"
    return f"{regime.said(found.mean, sign=True)} ± {regime.said(found.half())}"


def _best(regime: _Regime) -> str:
    """The best row, beside the second; nothing of two rows, whose difference is said."""
    between = regime.between
    if len(regime.means) < 3 or between is None:
        return ""
    score = f"{regime.said(regime.means[regime.best])} {regime.evaluator.unit}".strip()
    # Over the sets that both have it may be the other way round.
    word = "told ahead of" if regime.ahead(between.found) else "though behind, where both have sets,"
    told = (
        f"{word} {regime.second} by {regime.plus_minus(between.found)}"
        if between.told
        else f"not told from {regime.second} ({_seen(regime, between.found)})"
    )
    return f"Best{regime.under}: {regime.best} ({score}), {told}."


def _together(regimes: Sequence[_Regime]) -> str:
    """What all regimes say: where what stands in the rows is told to matter, and how much may be missed elsewhere."""
    control = all(regime.control for regime in regimes)
    what = "The images matter" if control else "The rows differ"
    told = [(regime, *regime.told[0]) for regime in regimes if regime.told]
    parts = []
    if told:
        shown = [
            f"under {regime.name} ({label} {'ahead of' if regime.ahead(one) else 'behind'} {regime.reference} by "
            f"{regime.plus_minus(one)})"
            for regime, label, one in told
        ]
        parts.append(f"{what} {_and(shown)}")
    else:
        parts.append(f"{'Whether the images matter' if control else 'Whether the rows differ'} is told under no regime")
    least = max(regime.least for regime in regimes)
    quiet = [regime for regime in regimes if not regime.told and regime.seen]
    less = [regime for regime in quiet if regime.most < least]
    open_ = [regime for regime in quiet if regime.most >= least]
    they = "what they are worth" if control else "how they differ"
    if less:
        shown = [f"under {one.name} (none told from {one.reference}, {one.said(one.most)} at most)" for one in less]
        parts.append(f"less {_and(shown)}")
    if open_:
        shown = [f"± {one.said(max(found.half() for _, found in one.seen))} under {one.name}" for one in open_]
        parts.append(f"{they} cannot be told to less than {_and(shown)}")
    return "; ".join(parts) + "."


def _would_tell(results: Results, regime: _Regime) -> str:
    """What more would tell what was not told, and about how long it takes."""
    pairs = [(label, regime.reference, one) for label, one in regime.compared.items()]
    if regime.between is not None and regime.reference not in (regime.best, regime.second):
        pairs.append((regime.best, regime.second, regime.between))
    design, cost = design_of(results), costs(results)
    needed: list[tuple[int, str]] = []
    for row, other, one in pairs:
        if not one.told and one.found.error > 0:
            needed.append((more_sets(one.found, one.level, design), f"{row} from {other}"))
    within = sorted(each for each in needed if each[0] <= MOST_SETS)[:MOST_NAMED]
    beyond = [pair for count, pair in needed if count > MOST_SETS]
    parts: list[str] = []
    for count, pair in within:
        named = f"{count} more set{'s' * (count != 1)}" if not parts else f"{count} more"
        if any(one.teachers > 1 for _, one in regime.seen):
            named += " of further seeds of teachers"
        elif cost is not None:
            students = max(one.students for _, one in regime.seen)
            named += f", {roughly(count * (cost.set + students * cost.student))},"
        parts.append(f"{named} would tell {pair}" if not parts else f"{named} {pair}")
    said = []
    if parts:
        seem = "differences are what they seem" if len(parts) > 1 else "difference is what it seems"
        said.append(f"{_and(parts)} four times in five, if the {seem}")
        if any(one.teachers > 1 for _, one in regime.seen):
            said.append("that is another run, with more --teacher-seeds")
    if beyond:
        said.append(f"more than {MOST_SETS:,} sets would be needed to tell {_and(beyond[:MOST_NAMED])}")
    return _sentence(f"{regime.name + ': ' if regime.name else ''}{'; '.join(said)}.") if said else ""


def more_sets(found: Interval, level: float, design: Design) -> int:
    """How many more sets would tell a difference, four times in five, were it what it seems; more than `MOST_SETS` where that
    many do not.

    Of several teachers it is more of them with as many sets each: sets alone do not tell how teachers differ.
    """
    several = found.teachers > 1
    there = found.teachers if several else found.sets
    apart = abs(found.mean) / (found.error * math.sqrt(there)) if found.error else 0.0
    spent = design.pilot if found.piloted and not several else 1

    def tells(count: int) -> bool:
        quantiles = stdtrit(count - spent, 1 - level / 2) + stdtrit(count - spent, POWER)
        return apart * math.sqrt(count) >= float(quantiles)

    each = found.sets / there
    low, high = there + 1, there + math.ceil(MOST_SETS / each) + 1
    if not tells(high):
        return MOST_SETS + 1
    while low < high:  # it grows with the count
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle + 1, high)
    return math.ceil((low - there) * each)


def _and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def _sentence(text: str) -> str:
    return text if ": " in text.partition(" ")[0] + " " else text[0].upper() + text[1:]
