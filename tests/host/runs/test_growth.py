"""A finished run that something is added to: that alone is computed, and the folder holds the former run or the new one."""

from __future__ import annotations

import shutil
import signal
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from commands import MAIN, start
from delt_host.contracts.results import Results, read_results
from delt_host.runs.recipes import adds_to
from running import call, contents, refused, whole

ROW = "sre2l,scheduler.iterations=16"
GROW = ["run", "made", "-b", ROW, "--no-controls", "-q"]
LABEL = "sre2l (scheduler.iterations=16)"


def entries(store: Path) -> Counter[str]:
    """How many results of each stage are kept."""
    return Counter(path.relative_to(store).parts[0] for path in store.glob("*/*") if not path.name.startswith("."))


def labels(results: Results) -> list[str]:
    return [row.label for row in results.rows]


def recipe(run: Path) -> list[str]:
    return [row["label"] for row in tomllib.loads((run / "experiment.toml").read_text())["row"]]


def test_a_row_added_to_a_finished_run_computes_that_row_alone(small_run: Path, tmp_path: Path) -> None:
    former, sets, before = read_results(small_run), contents(small_run), entries(tmp_path / "store")
    call(*GROW)
    made = entries(tmp_path / "store") - before
    assert {stage: made[stage] for stage in ("squeeze", "recover", "evaluate")} == {
        "squeeze": 0, "recover": 2, "evaluate": 4,
    }  # fmt: skip
    grown = whole(small_run)
    assert labels(grown) == [*labels(former), LABEL] == recipe(small_run)
    assert [score for score in grown.scores if score.row != LABEL] == list(former.scores)
    assert {each.folder for each in former.sets} < {each.folder for each in grown.sets}
    after = contents(small_run)
    assert all(after[name] == sets[name] for name in sets if name.endswith("distilled.safetensors"))
    assert {each.other for each in grown.differences if each.row == "delt"} == {"cda", LABEL}
    before = entries(tmp_path / "store")
    call("run", "made/experiment.toml", "--out", "made", "-q")
    assert entries(tmp_path / "store") == before, "the larger recipe is the run's now"
    assert "experiment.toml is of" not in refused("run", "made/experiment.toml", "--ipc", "1", "--out", "made")


def test_seeds_regimes_students_and_evaluators_are_added_alike(small_run: Path, tmp_path: Path) -> None:
    before = entries(tmp_path / "store")
    call("run", "made", "--seeds", "3", "--regime", "fixed", "--evaluator", "cost", "-q")
    grown = whole(small_run)
    assert [regime.name for regime in grown.regimes] == ["hard", "views", "fixed"]
    assert [evaluator.title for evaluator in grown.evaluators] == ["convnet3", "cost of recovery"]
    assert sorted({score.set for score in grown.scores}) == [0, 1, 2]
    assert (entries(tmp_path / "store") - before)["recover"] == 2, "the third seed's of both rows"


def test_the_controls_that_a_new_row_brings_come_and_no_others(small_run: Path) -> None:
    call("run", "made", "-m", "cda,scheduler.iterations=8", "-q")
    assert labels(read_results(small_run)) == [
        "delt",
        "cda",
        "cda (scheduler.iterations=8)",
        "random-real",
        "cda start",
    ]


def test_a_row_of_another_run_is_taken_as_it_is_there(small_run: Path) -> None:
    call("run", "-m", "sre2l,scheduler.iterations=8", "--no-controls", "--ipc", "2", "--seeds", "2", "-q", "--out", "other",
         "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "protocol.epochs=3")  # fmt: skip
    theirs = "sre2l (scheduler.iterations=8)"
    call("run", "made", "-b", f"./other:{theirs}", "--no-controls", "-q")
    row = next(row for row in read_results(small_run).rows if row.label == theirs)
    assert row.role == "baseline" and row.components["scheduler"]["iterations"] == 8
    said = refused("run", "made", "-b", "./other:nothing", "--no-controls", "-q")
    assert f"other/experiment.toml after a colon: '{theirs}'" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--ipc", "1"], "is of another recipe: ipc is 2 there, and 1 here"),
        (["--seeds", "1"], "is of another recipe: it has the seed 1, and this one has not"),
        (["--set", "protocol.epochs=4"], "is of another recipe: "),
        (["--match", "image-iterations"], "is of another recipe: match is None there, and image-iterations here"),
        (["--method", "delt"], "two rows are called 'delt'"),
        (["--method", "ctd"], "unknown method 'ctd'; did you mean 'cda'"),
    ],
)
def test_what_does_not_only_add_is_refused_with_its_reason(small_run: Path, more: list[str], said: str) -> None:
    before = contents(small_run)
    assert said in refused("run", "made", *more, "--no-controls", "-q")
    assert contents(small_run) == before


def test_the_smaller_recipe_is_refused_in_the_folder_of_the_larger(small_run: Path, tmp_path: Path) -> None:
    shutil.copy(small_run / "experiment.toml", tmp_path / "former.toml")
    call(*GROW)
    said = refused("run", "former.toml", "--out", "made", "-q")
    assert f"is of another recipe: it has the row '{LABEL}', and this one has not" in said


def test_a_folder_that_is_no_runs_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty is not the folder of a run: it has no experiment.toml" in refused("run", "empty", "-m", "delt")


KILLED = {
    "while it computes": "from delt_host.stages import story as of; name = 'run'",
    "before its results": "from delt_host.contracts.results import Results as of; name = 'write'",
    "before its recipe": "from delt_host.runs import place as of; name = '_write_recipe'",
}


@pytest.mark.parametrize("moment", KILLED)
def test_killed_at_any_moment_the_folder_holds_the_former_run_or_the_new_one(
    small_run: Path, tmp_path: Path, moment: str
) -> None:
    former = contents(small_run)
    code = f"{KILLED[moment]}\nimport os, signal\nsetattr(of, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))\n"
    killed = start("-c", code + MAIN[1], *GROW, cwd=tmp_path)
    killed.communicate(timeout=300)
    assert killed.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    if moment == "before its recipe":
        assert labels(whole(small_run)) == ["delt", "cda", LABEL]
    else:
        there = contents(small_run)
        former.pop("report.html")  # which goes before the results that it is of
        assert {name: there[name] for name in former} == former, "recipe, results and sets are the former run's"
    call("evaluate", "made", "-e", "cost", "-q")
    call(*GROW)
    assert labels(whole(small_run)) == ["delt", "cda", LABEL] == recipe(small_run)
    assert not list(small_run.glob(".writing-*"))


def test_of_two_that_grow_one_run_at_once_one_is_told(small_run: Path, tmp_path: Path) -> None:
    code = (
        "from delt_host.stages import story; import sys\nmake = story.prepare_run\n"
        "def slow(*a, **k):\n print('begun', flush=True); sys.stdin.read(); import time; time.sleep(3)\n return make(*a, **k)\n"
        "story.prepare_run = slow\n"
    )
    first = start("-c", code + MAIN[1], *GROW, cwd=tmp_path)
    assert first.stderr is not None and first.stderr.readline() == "begun\n"
    assert "another process works in" in refused(
        "run", "made", "-b", "dm,scheduler.iterations=8", "--no-controls", "-q"
    )
    first.communicate(timeout=300)
    assert first.returncode == 0 and labels(whole(small_run)) == ["delt", "cda", LABEL]


def test_a_run_whose_store_is_gone_grows_to_the_same_sets(small_run: Path, tmp_path: Path) -> None:
    former, sets = read_results(small_run), contents(small_run)
    shutil.rmtree(tmp_path / "store")
    call(*GROW)
    grown = whole(small_run)
    assert [each for each in grown.sets if each.row != LABEL] == list(former.sets)
    after = contents(small_run)
    assert all(after[name] == sets[name] for name in sets if name.endswith("distilled.safetensors"))
    scores = {(score.row, score.set, score.regime): score.scores["top1"] for score in grown.scores}
    assert all(scores[score.row, score.set, score.regime] == score.scores["top1"] for score in former.scores)


def test_what_adds_to_a_recipe_and_what_does_not() -> None:
    small = {
        "ipc": 2, "seeds": [0], "students": 1, "ceiling_epochs": 0, "teacher": [{"model": "a"}], "regime": [{"name": "hard"}],
        "evaluator": [{"name": "student"}], "row": [{"label": "one"}],
    }  # fmt: skip

    def larger(**more: object) -> bool:
        return adds_to({**small, **more}, small)

    assert larger() and larger(row=[{"label": "new"}, {"label": "one"}], seeds=[1, 0], students=2, ceiling_epochs=5)
    assert larger(teacher=[{"model": "a"}, {"model": "b"}]) and not larger(teacher=[{"model": "b"}, {"model": "a"}])
    assert not larger(row=[{"label": "one", "x": 1}]) and not larger(seeds=[1]) and not larger(ipc=3)
    assert not adds_to(small, {**small, "students": 2}) and not adds_to(small, {**small, "ceiling_epochs": 3})
    assert not adds_to(small, {**small, "row": 5}) and not adds_to(small, {"ipc": 2})
    matched = {**small, "match": "seconds"}
    assert adds_to({**matched, "row": [{"label": "one"}, {"label": "new"}]}, matched)
    assert not adds_to({**matched, "row": [{"label": "new"}, {"label": "one"}]}, matched), (
        "the first row sets the budget"
    )
