"""What tables answer, as sentences."""

from __future__ import annotations

import pytest

from delt_host.compare.answers import answers, more_sets
from delt_host.compare.intervals import Design, interval
from delt_host.contracts.results import EvaluatorRecord, Score
from made_results import made_results

HARD = {
    "delt": [50.0, 51.0, 50.5, 49.5], "rded": [46.0, 48.4, 47.0, 49.0],
    "cda": [44.0, 47.0, 45.2, 45.0], "random-real": [45.0, 45.5, 45.2, 44.8],
}  # fmt: skip
VIEWS = {
    "delt": [60.1, 60.0, 60.3, 60.2], "rded": [60.0, 60.3, 60.1, 60.2],
    "cda": [60.2, 60.1, 60.0, 60.2], "random-real": [60.1, 60.2, 60.2, 60.1],
}  # fmt: skip


def test_two_regimes() -> None:
    said = answers(made_results({"hard": HARD, "views": VIEWS, "wide": WIDE}))
    assert said == SAID


WIDE = {"delt": [60.0, 70.0, 50.0, 66.0], "random-real": [64.0, 55.0, 61.0, 60.0]}
SAID = [
    "hard: ahead of random-real: delt by 5.1 ± 0.6; not told from random-real: rded (+2.5 ± 2.2), cda (+0.2 ± 1.6) "
    "(95 %, 4 seeds).",
    "Best under hard: delt (50.2 %), told ahead of rded by 2.7 ± 2.5.",
    "views: not told from random-real: delt (+0.0 ± 0.2), rded (+0.0 ± 0.2), cda (+0.0 ± 0.2) (95 %, 4 seeds).",
    "Best under views: random-real (60.2 %), not told from delt (+0.0 ± 0.2).",
    "wide: not told from random-real: delt (+1.5 ± 18.1) (95 %, 4 seeds).",
    "The images matter under hard (delt ahead of random-real by 5.1 ± 0.6); less under views (none told from "
    "random-real, 0.4 at most); what they are worth cannot be told to less than ± 18.1 under wide.",
    "hard: 2 more sets would tell rded from random-real and 269 more cda from random-real four times in five, if the "
    "differences are what they seem.",
    "views: 376 more sets would tell cda from random-real four times in five, if the difference is what it seems; more than "
    "1,000 sets would be needed to tell delt from random-real and rded from random-real.",
    "wide: 451 more sets would tell delt from random-real four times in five, if the difference is what it seems.",
]


def test_where_nothing_is_told_it_is_said_how_much_may_be_missed() -> None:
    said = answers(made_results({"views": VIEWS, "wide": WIDE}))
    (together,) = [each for each in said if "no regime" in each]
    assert together.startswith(
        "Whether the images matter is told under no regime; what they are worth cannot be told to less"
    )
    assert "do not matter" not in " ".join(said)


def test_the_best_row_may_be_behind_where_both_have_sets() -> None:
    """One set of the better row was bad, and the other row has none in its place."""
    said = answers(
        made_results({"hard": {"delt": [90.0, 91.0, 90.2, None], "rded": [92.0, 93.1, 92.3, 10.0], "cda": [1.0] * 4}})
    )
    (best,) = [each for each in said if each.startswith("Best")]
    assert best.startswith("Best: delt (90.4 %), though behind, where both have sets, rded by 2.1 ± ")


def test_the_best_is_told_from_the_reference_as_the_answer_tells_it() -> None:
    said = answers(
        made_results(
            {
                "hard": {
                    "delt": [52.0, 53.1, 52.4, 54.2],
                    "random-real": [50.0, 50.1, 49.9, 50.2],
                    "cda": [20.0, 49.0, 31.0, 24.0],
                }
            }
        )
    )
    told = "ahead of random-real: delt" in said[0].lower()
    assert told == ("told ahead of random-real" in said[1]), said


def test_sets_that_two_rows_have_not_in_common() -> None:
    said = answers(made_results({"hard": {"delt": [None, None, 5.0, 6.0], "random-real": [1.0, 2.0, None, None]}}))
    assert said == ["No two rows have a set in common by which they could be compared."]
    one = answers(
        made_results({"hard": {"delt": [5.0, None, None], "rded": [1.0, 3.0, 2.5], "random-real": [1.0, 2.0, 4.0]}})
    )
    assert "delt (+4.0 in one set)" in one[0] and "(95 %, 1 seed or 3 seeds)" in one[0]


def test_of_two_methods_a_pair_is_told_both_ways_round_or_not_at_all() -> None:
    rows = {
        "delt": [52.0, 53.0, 52.0, 54.0], "rded": [50.0, 50.2, 49.9, 51.0],
        "cda": [50.4, 49.0, 51.0, 50.0], "random-real": [50.3, 50.1, 49.9, 50.2],
    }  # fmt: skip
    results = made_results({"hard": rows})
    told = {(one.row, one.other): one.told for one in results.differences}
    assert told["delt", "rded"] == told["rded", "delt"]


def test_scores_worked_out_of_others_say_nothing_of_teachers() -> None:
    six = {"delt": [5.0, 9.0, 6.0, 10.0, 5.5, 9.4], "random-real": [1.0, 1.2, 0.9, 1.1, 1.0, 1.3]}
    results = made_results({"hard": six}, teachers=2)
    per_table = EvaluatorRecord(name="x", title="x", headline="x", unit="", better="higher", per="table", options={})
    more = tuple(Score(row="delt", evaluator="x", set=number, scores={"x": 1.0}) for number in range(6))
    changed = {"evaluators": (*results.evaluators, per_table), "scores": (*results.scores, *more)}
    assert answers(results.model_copy(update=changed)) == answers(results)


def test_lower_is_better() -> None:
    said = answers(made_results({"hard": HARD}, better="lower", unit=""))
    assert said[0].startswith("Behind random-real: delt by 5.125 ± ")
    assert said[1].startswith("Best: random-real (45.125), not told from cda (")


def test_the_ceiling_is_no_row_that_can_be_best() -> None:
    said = answers(made_results({"hard": HARD | {"whole set": [90.0, 91.0, 90.5, 90.2]}}))
    assert not any("whole set" in each for each in said)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            {"delt": [1.0], "cda": [2.0]},
            ["One seed tells no rows apart: --seeds 3 or more shows by how much they vary."],
        ),
        (
            {"delt": [1.0, 1.0], "cda": [2.0, 2.0]},
            ["All sets differ alike: no spread to judge by, so nothing is told."],
        ),
        ({"delt": [1.0, 2.0]}, []),
        ({"delt": [1.0, 2.0], "cda": [None, None]}, []),
        ({}, []),
    ],
)
def test_little_to_say(rows: dict[str, list[float]], said: list[str]) -> None:
    assert answers(made_results({"hard": rows})) == said


def test_more_sets_are_as_many_as_give_four_in_five() -> None:
    """Mean 1 and s = 1: a two-sided test at 5 % has that power with 10 sets (0.803 by the noncentral t)."""
    found = interval({0: [0.0], 1: [1.0], 2: [2.0]})
    assert found is not None and abs(more_sets(found, 0.05, Design()) + 3 - 10) <= 1
    assert more_sets(found, 0.05 / 6, Design()) > more_sets(found, 0.05, Design())
    faint = interval({0: [-1.0], 1: [0.01], 2: [1.0]})
    assert faint is not None and more_sets(faint, 0.05, Design()) > 1000
