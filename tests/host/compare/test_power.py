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
    needed = math.ceil(stats.t.ppf(0.975, 4) ** 2)  # within teachers the variance is 1, whatever the teachers are
    assert found.sets == needed + needed % 2 == 8
    assert found.resolution == pytest.approx(stats.t.ppf(0.975, 1) / math.sqrt(8))


def test_what_cannot_be_told_is_said() -> None:
    with pytest.raises(RunError, match="the budget cannot be told: nobody wrote down what"):
        wanted(made_results({"hard": PILOT}), 1.0, pilot=3, seconds=100.0)
    with pytest.raises(RunError, match="fewer than two rows of the pilot have scores"):
        wanted(made_results({"hard": {"delt": [1.0, 2.0, 3.0]}}), 1.0, pilot=3)
