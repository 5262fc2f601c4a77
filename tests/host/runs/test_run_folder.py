"""The run's folder: made or gone on with, whole at every moment, and never another's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from commands import delt_host, start
from conftest import SMALL_RUN, Install
from delt_host.basics import seeding
from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.results import read_results
from delt_host.runs.place import locked
from delt_plugins.report import page
from running import TINY, call, contents, refused, whole

RUN = SMALL_RUN[:-2]
"""The run that `small_run` is the folder of, without its --out."""
# The folder is made, or gone on with, or refused.


def test_runs_begun_in_the_same_second_have_a_folder_each(tmp_path: Path) -> None:
    code = "from delt_host.api.asked import AskedRun; from delt_host.cli import main; AskedRun.name = 'same'; main()"
    processes = [start("-c", code, *TINY, cwd=tmp_path) for _ in range(3)]
    for process in processes:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, out + errors
    made = sorted((tmp_path / "runs").iterdir())
    assert [path.name for path in made] == ["same", "same-2", "same-3"]
    for path in made:
        whole(path)


def test_the_same_recipe_goes_on_in_its_folder_and_another_is_refused(small_run: Path) -> None:
    before = contents(small_run)
    call(*RUN, "--out", "made")
    after = contents(small_run)
    assert {k: v for k, v in after.items() if k != "report.html"} == {
        k: v for k, v in before.items() if k != "report.html"
    }
    other = [each if each != "2" else "1" for each in RUN]
    said = refused(*other, "--out", "made")
    assert "made is of another recipe: ipc is 2 there, and 1 here; choose another folder with --out, or remove" in said
    (small_run / "results.json").unlink()  # unfinished, it is no less somebody's
    assert "of another recipe" in refused(*other, "--out", "made")
    assert contents(small_run) == {k: v for k, v in after.items() if k != "results.json"}
    call(*RUN, "--out", "made")
    assert (small_run / "results.json").read_bytes() == before["results.json"]


@pytest.mark.parametrize(
    ("key", "value"), [("compile", "false"), ("stack", "0"), ("teacher_seeds", "1"), ("validate", "0.0")]
)
def test_a_recipe_written_before_there_was_a_key_is_read_with_its_default(
    small_run: Path, key: str, value: str
) -> None:
    recipe = small_run / "experiment.toml"
    text = recipe.read_text()
    assert f"\n{key} = {value}\n" in text
    recipe.write_text(text.replace(f"\n{key} = {value}\n", "\n"))
    call(*RUN, "--out", "made")
    assert recipe.read_text() == text, "it is the same run"
    recipe.write_text(text.replace(f"\n{key} = {value}\n", "\n"))
    assert "ipc is 2 there" in refused(*[each if each != "2" else "1" for each in RUN], "--out", "made")


def test_force_replaces_what_a_run_wrote_and_nothing_else(small_run: Path) -> None:
    call("evaluate", "made", "-e", "cost", "-q")
    (small_run / "delt" / "notes.txt").write_text("mine")
    (small_run / "mine").mkdir()
    call(*TINY, "--out", "made", "--force")
    assert {path.name for path in small_run.iterdir()} == {
        "delt", "mine", "random-real", "experiment.toml", "results.json", "report.html",
    }  # fmt: skip
    assert contents(small_run / "delt") == {"notes.txt": b"mine"}
    assert [row.label for row in whole(small_run).rows] == ["random-real"]


def test_what_is_no_folder_for_a_run_is_refused_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for force in ([], ["--force"]):
        said = refused(*TINY, "--out", "full", *force)
        assert "full is not empty and no run's folder: it has thesis.txt; choose another folder with --out" in said
    assert contents(tmp_path / "full") == {"thesis.txt": b"mine"}
    assert "file is a file, and a folder is needed" in refused(*TINY, "--out", "file")
    assert "link is a link to nowhere, which does not exist" in refused(*TINY, "--out", "link")
    assert "lies in the store" in refused(*TINY, "--out", "store/run")
    assert "cannot be written: File name too long; choose another with --out" in refused(*TINY, "--out", "x" * 300)
    assert "cannot be written: Not a directory" in refused(*TINY, "--out", "file/run")


def test_an_empty_folder_and_one_with_the_store_in_it_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    call(*TINY, "--out", "empty")
    whole(tmp_path / "empty")
    call(*TINY, "--out", "both", "--store", "both/store")
    whole(tmp_path / "both")


def test_a_mistake_that_is_found_late_leaves_no_folder(tmp_path: Path) -> None:
    assert "more than class" in refused(*TINY, "--ipc", "100000", "--out", "late")
    assert not (tmp_path / "late").exists()
    refused(*TINY, "--ipc", "100000")
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_belongs_to_one_process_until_that_is_dead(tmp_path: Path) -> None:
    call(*TINY, "--out", "made")
    code = (
        "import sys, time, pathlib; from delt_host.runs.place import locked\n"
        "with locked(pathlib.Path('made')):\n print('held', flush=True); time.sleep(600)"
    )
    holder = start("-c", code, cwd=tmp_path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    before = contents(tmp_path / "made")
    for command in ([*TINY, "--out", "made"], ["evaluate", "made", "-e", "cost"], ["export", "made", "--to", "out"]):
        assert "another process works in" in refused(*command)
    assert contents(tmp_path / "made") == before
    holder.kill()
    holder.wait()
    (tmp_path / "made" / ".writing-0123").mkdir()  # as a killed process leaves it
    call(*TINY, "--out", "made")
    assert not list((tmp_path / "made").glob(".writing-*"))
    with locked(tmp_path / "made", shared=True):
        call("evaluate", "made", "-e", "cost")


def test_a_component_that_changes_the_working_folder_loses_nothing(tmp_path: Path, install: Install) -> None:
    install(
        "wanderer",
        "import os\nfrom typing import ClassVar\nfrom delt_host import Evaluator, Evaluation, hookimpl\n"
        "class Wanderer(Evaluator):\n"
        "    title: ClassVar[str] = 'wanderer'\n    headline: ClassVar[str] = 'here'\n    per: ClassVar[str] = 'set'\n"
        "    def evaluate(self, problem, distilled, taught):\n"
        "        os.chdir('/')\n        return Evaluation({'here': 1.0}, {})\n"
        "@hookimpl\ndef delt_evaluators():\n    return {'wanderer': Wanderer}\n",
    )
    done = delt_host(
        *TINY, "--evaluator", "wanderer", "--out", "there", "--store", "kept", cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    whole(tmp_path / "there")
    assert (tmp_path / "kept").is_dir()


# An evaluation has a folder of its own.


def test_evaluations_of_other_recipes_or_other_sets_do_not_mix(small_run: Path, tmp_path: Path) -> None:
    call("evaluate", "made", "-e", "cost", "-q")
    first = contents(small_run / "evaluations" / "cost")
    call("evaluate", "made", "-e", "cost", "-q")
    call("evaluate", "made", "-e", "cost", "-q", "--regime", "hard")
    assert {path.name for path in (small_run / "evaluations").iterdir()} == {"cost", "cost-2"}
    assert contents(small_run / "evaluations" / "cost")["results.json"] == first["results.json"]
    assert "of another recipe" in refused("evaluate", "made", "-e", "cost", "--out", "made/evaluations/cost-2")
    assert "is the folder of the run itself" in refused("evaluate", "made", "-e", "cost", "--out", "made")
    shutil.copytree(small_run, tmp_path / "same")
    assert "has the results of delt-host run" in refused("evaluate", "made", "--out", "same")
    sets = {(each.row, each.set): each for each in read_results(small_run / "evaluations" / "cost").sets}
    assert sets == {(each.row, each.set): each for each in read_results(small_run).sets}


# Files and results belong together.


def test_other_code_gives_other_sets_and_nothing_is_mixed(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a run of the same recipe with other code does, whose keys are others."""
    former, real = read_results(small_run), seeding.seed_for
    call("evaluate", "made", "-e", "cost", "-q")
    monkeypatch.setattr(seeding, "seed_for", lambda seed, *purpose: real(seed + 5, *purpose))
    call(*RUN, "--out", "made", "--store", "other")
    results = whole(small_run)
    assert {each.fingerprint for each in results.sets}.isdisjoint(each.fingerprint for each in former.sets)
    places = sorted(
        path.parent.relative_to(small_run).as_posix() for path in small_run.glob("*/*/distilled.safetensors")
    )
    assert places == sorted(each.folder for each in results.sets) and "delt/seed-0-2" in places
    from delt_plugins.publish.card import measured

    assert {score["evaluator"] for score in measured(small_run, "delt")} == {"convnet3"}, "cost was of the former set"


def test_a_set_that_is_not_the_results_own_is_refused_by_all_who_read_it(small_run: Path) -> None:
    for seed in (0, 1):
        shutil.copy(small_run / f"cda/seed-{seed}/distilled.safetensors", small_run / f"delt/seed-{seed}")
    wrong = "is not the set that the results were measured with"
    assert wrong in refused("export", "made", "--to", "out")
    assert wrong in refused("evaluate", "made", "-e", "cost", kind=InputError)
    assert wrong in page.render_page([small_run]) and "delt, 0, image" not in page.render_page([small_run])
    assert "delt" in call("report", "made"), "the scores are still read"


def test_sets_of_a_run_that_never_finished_are_not_scored(small_run: Path) -> None:
    (small_run / "results.json").unlink()
    assert "is not finished" in refused("evaluate", "made", "-e", "cost")
    assert "is not finished" in refused("export", "made", "--to", "out")
    assert "unfinished" in call("runs", ".")


def test_a_failed_row_does_not_take_the_place_of_its_former_scores(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(small_run)

    def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr("delt_plugins.evaluators.students.train_student", broken)
    shutil.rmtree(small_run.parent / "store" / "evaluate")
    said = refused(*RUN, "--out", "made", kind=RunError)
    assert "has their former scores, and is left as it was" in said
    assert contents(small_run) == before


# Other commands do not write over what is there.


def test_no_command_writes_over_a_file(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tex").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert "exists already; name another file with --out, or write over it with --force" in refused(
        "report", "made", "--format", "latex", "--out", "mine.tex"
    )
    assert "exists already" in refused("report", "made", "--out", "dangling")
    assert (tmp_path / "mine.tex").read_text() == "mine"
    call("report", "made", "--format", "latex", "--out", "mine.tex", "--force")
    assert "tabular" in (tmp_path / "mine.tex").read_text()
    (tmp_path / "my-matcher").mkdir()
    (tmp_path / "my-matcher" / "thesis.txt").write_text("mine")
    assert "exists already" in refused("plugins", "new", "my-matcher", "--kind", "matcher")
    assert "exists already" in refused("export", "made", "--to", "my-matcher")
    assert contents(tmp_path / "my-matcher") == {"thesis.txt": b"mine"}
