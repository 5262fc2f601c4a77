"""How many sets and students a pilot says are needed."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from delt_host.basics.errors import RunError
from delt_host.compare.power import Wanted, wanted
from made_results import made_results

PILOT = {"delt": [[5.0, 5.4], [6.0, 6.4], [8.0, 8.4]], "random-real": [[1.0, 1.2], [2.0, 2.2], [3.0, 3.2]]}
"""Differences of students 4, 4.2 · 4, 4.2 · 5, 5.2: their variance 0.02, that of the means 1 / 3."""


def test_as_many_as_stein_says() -> None:
    found = wanted(made_results({"hard": PILOT}), 1.0, pilot=3)
    needed = math.ceil(stats.t.ppf(0.975, 2) ** 2 / 3)
    assert (found.sets, found.students) == (needed, 2) == (7, 2), "costs are not known: students as they are"
    assert found.resolution == pytest.approx(stats.t.ppf(0.975, 4) * math.sqrt(1 / 3 / 7))
    assert wanted(made_results({"hard": PILOT}), 100.0, pilot=3).sets == 6, "three after the pilot at least"
    assert wanted(made_results({"hard": PILOT}), 0.001, pilot=3).sets == 500, "a thousand students at most"


def test_the_widest_row_and_regime_decides() -> None:
    wide = PILOT | {"cda": [[1.0, 1.0], [2.0, 2.0], [9.0, 9.0]]}
    assert wanted(made_results({"hard": PILOT, "views": wide}), 1.0, pilot=3).sets > 7
    failed = PILOT | {"cda": [[None, None]] * 3}
    assert wanted(made_results({"hard": failed}), 1.0, pilot=3).sets == 7, "a row that fails is left out"


def test_a_difference_takes_no_part() -> None:
    """What is looked at are contrasts alone: that is what keeps the interval exact."""
    ahead = {"delt": [[value + 40 for value in own] for own in PILOT["delt"]], "random-real": PILOT["random-real"]}
    assert wanted(made_results({"hard": ahead}), 1.0, pilot=3) == wanted(made_results({"hard": PILOT}), 1.0, pilot=3)


def test_students_by_what_they_cost() -> None:
    """Variances of sets 1 / 3 − 0.01 and students 0.02, two rows: sqrt(c_set / c_student · 0.02 / 0.3233)."""
    for ratio, students in ((1.0, 2), (300.0, 4), (1e6, 8)):
        found = wanted(made_results({"hard": PILOT}, seconds=(ratio, 1.0)), 1.0, pilot=3)
        assert found.students == students


def test_the_budget_cuts() -> None:
    """A set of both rows with two students of each takes 2 · 10 + 2 · 2 · 5 = 40 s."""
    pilot = made_results({"hard": PILOT}, seconds=(10.0, 5.0))
    assert wanted(pilot, 0.5, pilot=3, seconds=40 * 5).sets == 3 + 5
    assert wanted(pilot, 0.5, pilot=3, seconds=40 * 5, workers=2).sets == 3 + 10
    ended = wanted(pilot, 0.5, pilot=3, seconds=40 * 2)
    assert ended == Wanted(3, 2, pytest.approx(stats.t.ppf(0.975, 2) / 3)), "it ends with the pilot"
    assert wanted(pilot, 0.0, pilot=3, seconds=40 * 5).sets == 8, "as many as fit"
    dear = made_results({"hard": PILOT}, seconds=(300.0 * 5, 5.0))
    assert wanted(dear, 1.0, pilot=3).students == 4
    short = wanted(dear, 1.0, pilot=3, seconds=4 * 3020.0)
    more = 3 * 2 * 2 * 5.0 + (short.sets - 3) * (2 * 1500 + short.students * 10)
    assert short.sets >= 6 and more <= 4 * 3020.0


def test_several_teachers_have_as_many_sets_each() -> None:
    six = {"delt": [4.0, 9.0, 5.0, 10.0, 6.0, 11.0], "cda": [0.0] * 6}
    found = wanted(made_results({"hard": six}, teachers=2), 1.0, pilot=3)
    # Within teachers the variance is 1, whatever the teachers are; the interval has one degree of freedom.
    needed = math.ceil(stats.t.ppf(0.975, 1) ** 2)
    assert found.sets == needed + needed % 2 == 162 and found.resolution <= 1.0
    assert found.resolution == pytest.approx(stats.t.ppf(0.975, 1) / math.sqrt(162))


def test_the_budget_with_fewer_students_is_for_as_many_sets_as_these_need() -> None:
    """Students are cheap and differ much, so eight are best; where the budget has none for them, two, and more sets."""
    of_sets = [[1.0, 9.0], [2.0, 8.5], [4.0, 6.5]]
    pilot = {"delt": of_sets, "random-real": [[0.0, 0.0]] * 3}
    needed = wanted(made_results({"hard": pilot}, seconds=(1.0, 1.0)), 3.0, pilot=3)
    assert needed.students == 8
    found = [
        wanted(made_results({"hard": pilot}, seconds=(1.0, 1.0)), 3.0, pilot=3, seconds=seconds).sets
        for seconds in (20.0, 30.0)
    ]
    assert found[0] < found[1], "more time, more sets"


def test_no_cap_leaves_fewer_sets_than_there_are_or_teachers_with_more_than_others() -> None:
    noisy = {"delt": [float(value) for value in range(0, 900, 10)], "random-real": [0.0] * 90}
    found = wanted(made_results({"hard": noisy}, teachers=30), 0.01, pilot=3)
    assert found.sets >= 90 and found.sets % 30 == 0 and found.sets * found.students <= 1000
    many = {"delt": [[float(s % 7) for s in range(250)]] * 3, "random-real": [[0.0] * 250] * 3}
    assert wanted(made_results({"hard": many}), 0.01, pilot=3).sets == 3, "one set more would be worse than none"


def test_rows_that_failed_leave_nothing_to_spend_a_budget_on() -> None:
    alone = made_results({"hard": {"random-real": [1.0, 2.0, 3.0], "delt": [None] * 3}}, seconds=(1.0, 1.0))
    with pytest.raises(RunError, match="fewer than two rows of the pilot have scores"):
        wanted(alone, 0, pilot=3, seconds=7200.0)


def test_what_cannot_be_told_is_said() -> None:
    with pytest.raises(RunError, match="the budget cannot be told: nobody wrote down what"):
        wanted(made_results({"hard": PILOT}), 1.0, pilot=3, seconds=100.0)
    with pytest.raises(RunError, match="fewer than two rows of the pilot have scores"):
        wanted(made_results({"hard": {"delt": [1.0, 2.0, 3.0]}}), 1.0, pilot=3)
