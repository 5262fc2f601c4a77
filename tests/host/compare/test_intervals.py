"""Intervals for students in sets in teachers, against scipy.stats and figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from delt_host.compare.intervals import Design, holm, interval
from made_results import made_results

FOUR = {0: [1.0, 3.0], 1: [2.0, 2.0], 2: [4.0, 6.0], 3: [5.0, 3.0]}
"""Means of sets 2, 2, 5, 4."""


def test_with_one_teacher_it_is_t_over_the_means_of_sets() -> None:
    found = interval(FOUR)
    assert found is not None
    theirs = stats.ttest_1samp([2.0, 2.0, 5.0, 4.0], 0.0)
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert (found.sets, found.students, found.teachers, found.degrees) == (4, 2, 1, 3)
    assert found.method == "paired t over sets, 95 %"


def test_spreads_are_those_of_an_analysis_of_variance() -> None:
    """Students: (2 + 0 + 2 + 2) / 4 = 1.5. Sets: the means' variance 2.25 less 1.5 / 2 is 1.5."""
    found = interval(FOUR)
    assert found is not None
    assert found.spreads.student == pytest.approx(math.sqrt(1.5)) and found.spreads.set == pytest.approx(math.sqrt(1.5))
    assert found.spreads.teacher is None
    # Teachers of sets 0, 1 and 2, 3: means 2 and 4.5, variance 3.125; within (0 + 0.5) / 2 = 0.25, of two sets 0.125 each.
    two = interval(FOUR, Design((0, 1, 2, 3), teachers={2: 1, 3: 1}))
    assert two is not None and two.spreads.teacher == pytest.approx(math.sqrt(3.125 - 0.125))
    assert two.spreads.set == 0.0, "clipped: 0.25 less 0.75"
    one = interval({number: [values[0]] for number, values in FOUR.items()})
    assert one is not None and one.spreads.student is None and one.spreads.set is None, "not told apart by one student"


def test_with_several_teachers_it_is_t_over_their_means() -> None:
    """Teachers have three sets and one, weighted alike: 3 and 4."""
    found = interval(FOUR, Design((0, 1, 2, 3), pilot=1, teachers={3: 1}))
    assert found is not None and (found.mean, found.degrees, found.teachers) == (3.5, 1, 2)
    assert found.p == pytest.approx(stats.ttest_1samp([3.0, 4.0], 0.0).pvalue)
    assert found.method == "paired t over the means of teachers, 95 %" and not found.piloted


def test_after_a_pilot_its_own_spread_is_left_out() -> None:
    """Pilot 1, 9, 5 (mean 5), then 6, 7, 8 (mean 7): (2 + 3 · 3 / 6 · 4) / 3 = 8 / 3 with three degrees, mean 6."""
    values = {number: [value] for number, value in enumerate((1.0, 9.0, 5.0, 6.0, 7.0, 8.0))}
    found = interval(values, Design(tuple(range(6)), pilot=3))
    assert found is not None and (found.mean, found.degrees, found.piloted) == (6.0, 3, True)
    assert found.error == pytest.approx(math.sqrt(8 / 3 / 6))
    assert found.half() == pytest.approx(stats.t.ppf(0.975, 3) * math.sqrt(8 / 3 / 6))
    assert "the pilot's spread left out" in found.method
    wider = {**values, 0: [0.0], 1: [10.0]}
    again = interval(wider, Design(tuple(range(6)), pilot=3))
    assert again is not None and again.error == found.error, "whatever the pilot looked like"
    ended = interval({number: values[number] for number in range(3)}, Design((0, 1, 2), pilot=3))
    assert ended is not None and ended.p == pytest.approx(stats.ttest_1samp([1.0, 9.0, 5.0], 0.0).pvalue)


def test_the_order_of_seeds_says_which_sets_are_the_pilot() -> None:
    values = {5: [1.0], 3: [9.0], 9: [5.0], 1: [6.0]}
    assert interval(values, Design((5, 3, 9, 1), pilot=3)) != interval(values, Design((1, 3, 5, 9), pilot=3))
    lost = interval({3: [9.0], 9: [5.0], 1: [6.0]}, Design((5, 3, 9, 1), pilot=3))
    assert lost is not None and (lost.degrees, lost.mean) == (1, pytest.approx(20 / 3)), (
        "a set that failed is no other's"
    )


def test_holm_is_that_of_a_known_example() -> None:
    """0.01, 0.04, 0.03, 0.005 (Wikipedia, Holm-Bonferroni): 0.005 < 0.0125, 0.01 < 0.0167, 0.03 > 0.025, and there it ends."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.04, None]) == [True, False] and holm([]) == []
    ps = list(np.random.default_rng(0).uniform(0, 0.1, 8))
    adjusted = np.maximum.accumulate(np.sort(ps) * np.arange(8, 0, -1))
    assert [told for _, told in sorted(zip(ps, holm(ps), strict=True))] == list(adjusted <= 0.05)


def test_a_table_has_each_row_beside_the_reference_and_each_method_beside_all() -> None:
    rows = {"delt": [5.0, 6.1, 7.0], "rded": [4.0, 4.1, 5.5], "cda": [1.0, 2.0, 3.5], "random-real": [1.0, 2.2, 3.0]}
    found = made_results({"hard": rows}).differences
    assert [(each.row, each.other) for each in found] == [
        ("delt", "rded"), ("delt", "cda"), ("delt", "random-real"),
        ("rded", "delt"), ("rded", "cda"), ("rded", "random-real"), ("cda", "random-real"),
    ]  # fmt: skip
    by = {(each.row, each.other): each for each in found}
    assert by["rded", "delt"].mean == -by["delt", "rded"].mean and by["rded", "delt"].told == by["delt", "rded"].told
    theirs = stats.ttest_rel(rows["delt"], rows["random-real"])
    assert by["delt", "random-real"].p == pytest.approx(theirs.pvalue)
    ps = [by[row, "random-real"].p for row in ("delt", "rded", "cda")]
    assert [by[row, "random-real"].told for row in ("delt", "rded", "cda")] == holm(ps)
    # Without a control the first baseline, without one the first method; a row that failed is nobody's reference.
    no_control = {label: values for label, values in rows.items() if label != "random-real"}
    assert {each.other for each in made_results({"hard": no_control}).differences if each.row == "rded"} == {
        "delt",
        "cda",
    }
    failed = made_results({"hard": rows | {"random-real": [None, None, None]}}).differences
    assert {(each.row, each.other) for each in failed} == {
        ("delt", "rded"), ("delt", "cda"), ("rded", "delt"), ("rded", "cda"),
    }  # fmt: skip
