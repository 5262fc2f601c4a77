"""The statistics of the table, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from delt_host.basics.folder_names import slug
from delt_host.basics.units import duration, size
from delt_host.compare.differences import verdict
from delt_host.compare.intervals import Compared, deltas, interval
from delt_host.compare.lines import Summary


def of(deltas: dict[int, float], told: bool = True, rows: int = 1) -> Compared:
    """A difference with one student a set, told or not."""
    found = interval({number: [value] for number, value in deltas.items()})
    assert found is not None
    return Compared(found, told, rows, 0.05)


def test_paired_difference_and_its_interval() -> None:
    """Differences 2, 3, 4: mean 3, s = 1, t(0.975, 2) = 4.302653, half-width 4.302653 / sqrt(3) = 2.484138."""
    compared = of({0: 2, 1: 3, 2: 4})
    found = compared.found
    assert found.mean == pytest.approx(3)
    assert (found.low, found.high) == pytest.approx((3 - 2.484138, 3 + 2.484138), abs=1e-5)
    assert verdict(compared, "cda") == "ahead of cda by 3.0 ± 2.5 (95 %, 3 seeds)"
    assert verdict(compared, "cda", "lower", "") == "behind cda by 3.000 ± 2.484 (95 %, 3 seeds)"
    alone = of({0: 2, 1: 3, 2: 4}, told=False, rows=6)
    assert verdict(alone, "cda") == "ahead of cda by 3.0 ± 2.5 alone, but not told among 6 rows (95 %, 3 seeds)"


def test_only_what_both_rows_have_is_paired() -> None:
    assert deltas({0: {0: 5.0}, 1: {0: 6.0}}, {1: {0: 4.0}, 2: {0: 9.0}}) == {1: [2.0]}
    students = deltas({0: {0: 5.0, 1: 6.0, 2: 9.0}}, {0: {1: 4.0, 2: 5.0, 3: 0.0}})
    assert students == {0: [2.0, 4.0]}, "the students that both have"
    assert deltas({0: {0: 5.0}}, {0: {1: 4.0, 2: 2.0}}) == {0: [2.0]}, "their means where they have none"
    assert interval(deltas({0: {0: 5.0}}, {1: {0: 4.0}})) is None


def test_what_has_no_spread_is_not_judged() -> None:
    single, alike, equal = of({0: 1.0}), of({0: 2.0, 1: 2.0}), of({0: 0.0, 1: 0.0})
    assert math.isnan(single.found.low) and single.found.p is None
    assert verdict(single, "x") == "+1.0 to x (1 seed: no spread to judge by)"
    assert alike.found.p is None, "a coarse score is alike in two sets by chance"
    assert verdict(alike, "x") == "+2.0 to x (2 seeds, alike: no spread to judge by)"
    assert (equal.found.p, equal.found.low, equal.found.high) == (1.0, 0.0, 0.0)
    assert verdict(equal, "x") == "no difference to x: the same score in each of 2 seeds"


def test_a_difference_inside_its_interval_is_called_none() -> None:
    assert verdict(of({0: 1.0, 1: -0.5, 2: -0.5}), "cda").startswith("no difference to cda can be told")
    assert verdict(of({0: -4.0, 1: -4.1}), "cda").startswith("behind cda by 4.0")


def test_summaries() -> None:
    assert Summary.of([1, 2, 3]) == Summary(2, 1, 3)
    assert Summary.of([64.5, 62.5]).shown() == "63.5 ± 1.4"
    assert Summary.of([64.5]).shown() == "64.5" and Summary.of([0.5, 0.25]).shown(3) == "0.375 ± 0.177"
    assert Summary.of([]).shown() == "–"


def test_sizes_durations_and_folder_names() -> None:
    assert [size(n) for n in (12, 2048, 3 * 1024**2, 5.5 * 1024**3)] == ["12 B", "2.0 KiB", "3.0 MiB", "5.5 GiB"]
    assert [duration(s) for s in (0, 4.21, 200, 7500)] == ["0 s", "4.2 s", "3 min 20 s", "2 h 5 min"]
    assert slug("cda (initializer=ranked)") == "cda-initializer-ranked"
    assert slug("../../x") == "x"
