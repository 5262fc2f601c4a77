"""`--resolve` and `--budget`: a pilot, one decision, the rest, and a recipe that repeats it."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import delt_host
from asking import TINY, tiny
from delt_host import InputError, Observer, Result, Score
from delt_host.api import resolving
from delt_host.compare.power import Wanted
from delt_host.experiment.request import Request
from delt_host.experiment.sets import sets_of
from running import call, refused

GOAL: dict[str, Any] = {"seeds": None, "baseline": "random-real,initializer=noise", "resolve": 3.0}
WORDS = [
    "run", "-m", "random-real", "-b", "random-real,initializer=noise", "--teacher", "none", "--regime", "hard", "--ipc", 1,
    "--no-controls", "--threads", 1, "--set", "dataset.image_size=8", "--set", "protocol.epochs=1",
]  # fmt: skip


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were left at each decision, which is 7 sets of 3 students, 4 where less than an hour is left."""
    asked: list[float] = []

    def wanted(_results: Any, points: float, *, pilot: int, seconds: float = float("inf"), workers: int = 1) -> Wanted:
        assert pilot == 3 and workers == 1
        asked.append(seconds)
        return Wanted(7, 3, points) if seconds > 3600 else Wanted(6, 2, 2 * points)

    monkeypatch.setattr(resolving, "wanted", wanted)
    return asked


class Told(Observer):
    """What was said, and scored; it may stop the run."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.notes: list[str] = []
        self.scores: Counter[tuple[str, int, int]] = Counter()
        self.stop_after = stop_after

    def note(self, message: str) -> None:
        self.notes.append(message)

    def scored(self, score: Score, images: Any) -> None:
        self.scores[score.row, score.set, score.student] += 1
        if self.scores.total() == self.stop_after:
            raise KeyboardInterrupt


def recipe(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "experiment.toml").read_text())


def entries(store: Path) -> int:
    return sum(path.is_file() for path in store.glob("[a-z]*/*"))


def table_of(result: Result) -> list[Any]:
    return [result.results.scores, result.results.differences, result.results.pilot]


def test_a_pilot_decides_and_the_recipe_repeats_it(tmp_path: Path, decisions: list[float]) -> None:
    told = Told()
    made = tiny(tmp_path, **GOAL, observer=told)
    assert decisions == [float("inf")]
    assert set(told.scores.values()) == {1} and len(told.scores) == 2 * 7 * 3
    said = recipe(tmp_path / "run")
    assert (said["resolve"], said["seeds"], said["students"], said["pilot"]) == (3.0, [*range(7)], 3, 3)
    assert "budget" not in said and made.results.pilot == 3
    assert {score.student for score in made.results.scores} == {0, 1, 2}
    kept = entries(tmp_path / "store")
    places = {"store": tmp_path / "store", "quiet": True}
    again = delt_host.run(tmp_path / "run" / "experiment.toml", out=tmp_path / "again", **places)
    assert table_of(again) == table_of(made) and entries(tmp_path / "store") == kept
    assert recipe(tmp_path / "again") == said
    assert table_of(tiny(tmp_path, **GOAL)) == table_of(made), "the same call finds what was decided"
    assert len(decisions) == 1
    with pytest.raises(InputError, match="no run decides by sets that were looked at"):
        delt_host.run(made, resolve=1.0, **places)
    with pytest.raises(InputError, match="its first sets decided how many there are, and come in another order"):
        delt_host.run(made, seeds=[1, 0, *range(2, 7)], **places)
    told = Told()
    grown = delt_host.run(made, seeds=8, observer=told, **places)
    assert grown.results.pilot == 3 and len(grown.results.sets) == 2 * 8
    assert any("its 95 % intervals are no longer exact" in note for note in told.notes)
    assert len(decisions) == 1


def test_a_budget_cuts_it_and_counts_what_the_store_says(tmp_path: Path, decisions: list[float]) -> None:
    told = Told()
    tiny(tmp_path, **GOAL, budget="30m", observer=told)
    assert recipe(tmp_path / "run")["budget"] == "30m" and recipe(tmp_path / "run")["seeds"] == [*range(6)]
    assert decisions[0] == float("inf") and 1700 < decisions[1] < 1800
    assert "pilot: 3 sets of 2 students" in told.notes
    (said,) = (note for note in told.notes if "allows" in note)
    assert said.startswith("the budget allows 6 of 7 sets, 2 students each, ± 6.0 expected, ")
    tiny(tmp_path, **GOAL, budget="1800", out=tmp_path / "other", observer=Told())
    assert decisions[3] == decisions[1], "of a pilot that was in the store the same is left"


def test_after_a_kill_nothing_is_decided_again(tmp_path: Path, decisions: list[float]) -> None:
    asked = {**GOAL, "budget": "2h"}
    begun = tiny(tmp_path, **asked, observer=Told(stop_after=5))
    assert begun.interrupted and not decisions
    assert "seeds" not in recipe(tmp_path / "run") and "pilot" not in recipe(tmp_path / "run")
    begun = tiny(tmp_path, **asked, observer=Told(stop_after=30))
    assert begun.interrupted and len(decisions) == 2 and len(begun.results.scores) > 12
    assert recipe(tmp_path / "run")["seeds"] == [*range(7)]
    made = tiny(tmp_path, **asked)
    assert len(decisions) == 2 and len(made.results.scores) == 2 * 7 * 3
    assert refused("run", tmp_path / "run", "--budget", "3h").endswith("what is in the store is used there")
    call("run", tmp_path / "run" / "experiment.toml", "--budget", "3h", "--out", tmp_path / "new", "-q")
    assert len(decisions) == 4, "elsewhere it is decided anew"


def test_what_is_asked_of_a_folder_that_has_decided(tmp_path: Path, decisions: list[float]) -> None:
    """A dry run shows what is left of it, and more students are added."""
    tiny(tmp_path, **GOAL)
    places = {"store": tmp_path / "store", "out": tmp_path / "run"}
    seen = delt_host.dry_run(method="random-real", **{**TINY, **GOAL, **places})
    assert (len(seen.experiment.seeds), seen.experiment.students, seen.experiment.pilot) == (7, 3, 3)
    assert all(line.done for line in seen.steps) and "pilot" not in " ".join(seen.advice)
    grown = tiny(tmp_path, **GOAL, students=4)
    assert len(decisions) == 1 and len(grown.results.scores) == 2 * 7 * 4
    assert recipe(tmp_path / "run")["students"] == 4


def test_a_row_that_fails_and_several_seeds_of_teachers(tmp_path: Path) -> None:
    told = Told()
    sets = {"teacher.epochs": 4, "relabeler.bogus": 1}
    del sets["relabeler.bogus"]
    made = tiny(tmp_path, **{**GOAL, "resolve": 40.0}, teacher="convnet3", teacher_seeds=2, set=sets, observer=told)
    assert any(note.startswith("pilot: 6 sets of 2 students (3 of each seed of teachers)") for note in told.notes)
    assert {(each.set % 2, each.teacher) for each in made.results.scores} == {(0, 0), (1, 1)}
    assert len(recipe(tmp_path / "run")["seeds"]) >= 6


def test_a_dry_run_says_what_is_decided_later(tmp_path: Path) -> None:
    said = call(*WORDS, "--resolve", 2, "--budget", "90m", "--dry-run", "--store", tmp_path / "store")
    said = " ".join(said.split())
    assert "This is the pilot: 3 sets of 2 students; by it the run decides" in said
    assert "to ± 2, within 1h30m in all" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resolve", 1, "--seeds", 3], "--resolve decides how many sets there are: leave out either it or --seeds"),
        (["--budget", "1h", "--seeds", 3], "--budget decides how many sets there are"),
        (["--resolve", 0], "--resolve must be a number above 0, in the evaluator's unit, not 0"),
        (["--resolve", "nan"], "--resolve must be a number above 0"),
        (
            ["--resolve", 1, "--budget", "soon"],
            "--budget must be a time above 0 (2h, 1h30m, 90m, or seconds), not 'soon'",
        ),
        (["--resolve", 1, "--budget", "0m"], "--budget must be a time above 0"),
        (["--resolve", 1, "--students", 0], "--students must be 1 or more"),
    ],
)
def test_mistakes_are_one_sentence(words: list[Any], said: str) -> None:
    assert said in refused(*WORDS, *words)


def test_a_pilot_has_no_more_sets_than_the_recipe() -> None:
    with pytest.raises(InputError, match=r"first 3 sets decided how many there are: --seeds must be as many or more"):
        sets_of(Request(resolve=3.0, pilot=3, seeds=2))


def test_a_row_alone_has_nothing_to_be_told_from() -> None:
    said = refused("run", "-m", "random-real", "--no-controls", "--resolve", 1)
    assert said == "--resolve and --budget go by differences between rows, and there is random-real alone"
