"""`delt-host evaluate`: the sets of a finished run under other evaluators, without distilling again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import lines_of
from delt_host.basics.errors import InputError, RunError
from delt_host.cli import cli
from delt_host.compare.lines import lines
from delt_host.contracts.results import read_results
from delt_host.contracts.teacher import Teacher


def call(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("small_run")
def test_a_finished_run_is_scored_by_others_even_where_the_store_has_lost_its_images(tmp_path: Path) -> None:
    plain = {(line.row.label, line.column): line.headline for line in lines(read_results(tmp_path / "made"))}
    assert {column for _, column in plain} == {"hard", "views"}
    for stage in ("recover", "initialize", "labels", "evaluate"):
        shutil.rmtree(tmp_path / "store" / stage)
    output = call("evaluate", "made", "-e", "student", "-e", "diversity", "--set", "evaluator.real_images=50")
    assert "similarity (lower is better)" in " ".join(output.split()) and "recover delt" not in output
    found = lines(read_results(tmp_path / "made/evaluations/student-diversity"))
    students, similarities = (
        [line for line in found if line.evaluator.title == title]
        for title in dict.fromkeys(line.evaluator.title for line in found)
    )
    again = {(line.row.label, line.column): line.headline for line in students}
    assert again == plain, "the same images, labels and students as in the run"
    assert {(line.evaluator.headline, line.regime) for line in similarities} == {("similarity", None)}
    assert len(similarities) == 2, "what students are told is nothing to the images' diversity"
    similar = {line.row.label: line.summary.mean for line in similarities}
    assert set(similar) == {"delt", "cda"} and all(0 < value < 1 for value in similar.values())
    assert not (tmp_path / "store" / "recover").exists(), "nothing was distilled"
    page = (tmp_path / "made/evaluations/student-diversity/report.html").read_text(encoding="utf-8")
    assert 'id="images"' in page and 'id="starts"' in page, "an evaluation's page shows the run's images"

    call("evaluate", "made", "--student", "wrn_16_2", "--regime", "online:fair,protocol.epochs=2", "-q")
    found = lines_of(tmp_path / "made/evaluations/student").values()
    assert {(line.regime and line.regime.relabeler["name"], line.column, line.evaluator.title) for line in found} == {
        ("online", "online:fair,protocol.epochs=2", "wrn_16_2")
    }


@pytest.mark.usefixtures("small_run")
def test_a_run_is_scored_on_another_machine_with_its_teacher_as_a_file(tmp_path: Path) -> None:
    ran = read_results(tmp_path / "made")
    said = call("squeeze", "made/experiment.toml", "--out", "there/teacher.safetensors")
    assert (
        "squeeze convnet3: from the store" in " ".join(said.split()) and "use it with --teacher there/teacher" in said
    )
    assert Teacher.load(tmp_path / "there/teacher.safetensors").fingerprint == ran.teachers[0].fingerprint

    # Another machine: an empty store, and a recipe that names a device which is not here.
    recipe = tmp_path / "made/experiment.toml"
    recipe.write_text(recipe.read_text().replace('device = "cpu"', 'device = "cuda:7"'))
    asked = ["evaluate", "made", "-e", "student", "--store", "empty"]
    with pytest.raises(InputError, match=r"sees no cuda device here, only cpu; use --device auto"):
        CliRunner().invoke(cli, asked, catch_exceptions=False)
    output = call(*asked, "--device", "cpu", "--teacher", "there/teacher.safetensors")
    assert "another teacher" not in output and not (tmp_path / "empty/squeeze").exists()
    again = read_results(tmp_path / "made/evaluations/student").scores
    assert [(s.row, s.regime, s.set, s.scores) for s in again] == [
        (s.row, s.regime, s.set, s.scores) for s in ran.scores
    ]

    output = call(*asked, "--device", "cpu", "--set", "teacher.seed=1")
    assert "the labels are another teacher's than the run's" in " ".join(output.split())


@pytest.mark.usefixtures("with_teacher")
def test_squeezing_alone(tmp_path: Path) -> None:
    small = ["--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "-q"]
    call("squeeze", *small)
    assert Teacher.load(tmp_path / "convnet3.teacher.safetensors").recipe["epochs"] == 4
    with pytest.raises(
        InputError, match=r"convnet3\.teacher\.safetensors exists already; name another file with --out"
    ):
        CliRunner().invoke(cli, ["squeeze", "--set", "teacher.seed=1", *small], catch_exceptions=False)
    (tmp_path / "convnet3.teacher.safetensors").rename("first.safetensors")
    said = call("squeeze", "--teacher", "convnet3", "--teacher", "convnet3_in", *small)
    members = [line.partition(".teacher")[0] for line in said.splitlines()]
    assert members == ["convnet3", "convnet3_in"] and (tmp_path / "convnet3_in.teacher.safetensors").is_file()
    assert "convnet3.teacher.safetensors: a file already" in call(
        "squeeze", "--teacher", "convnet3.teacher.safetensors", "--set", "dataset.image_size=8"
    )
    for arguments, message in (
        (["-m", "gvbsm", "--out", "one.safetensors"], "--out names one file, and these are"),
        (["--teacher", "convnt3"], "unknown model 'convnt3'; nearest: convnet3"),
        (["--set", "teacher.epoch=4"], "did you mean 'epochs'"),
        (["--set", "protocol.epochs=4"], "protocol.epochs has no place here"),
    ):
        with pytest.raises(InputError, match=message):
            CliRunner().invoke(cli, ["squeeze", *arguments], catch_exceptions=False)


@pytest.mark.usefixtures("small_run")
def test_mistakes_are_named(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(InputError) as caught:
            CliRunner().invoke(cli, ["evaluate", *arguments], catch_exceptions=False)
        return str(caught.value)

    assert "nowhere is not the folder of a run" in said("nowhere")
    assert "did you mean 'diversity'" in said("made", "-e", "diversty")
    assert "images of 8 px, digits of 16 px" in said("made", "-e", "diversity", "--set", "dataset.image_size=16")


@pytest.mark.usefixtures("small_run")
def test_a_row_that_left_no_set_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "made/cda/seed-1/distilled.safetensors").unlink()
    with pytest.raises(RunError, match=r"failed: cda; what did not fail is complete"):
        CliRunner().invoke(cli, ["evaluate", "made", "-e", "cost", "-q"], catch_exceptions=False)
    scores = read_results(tmp_path / "made/evaluations/cost").scores
    (failed,) = [score for score in scores if score.failure]
    assert (failed.row, failed.set) == ("cda", 1)
    assert f"no distilled set at {tmp_path}/made/cda/seed-1/distilled.safetensors" in failed.failure
    assert len(scores) == 4


@pytest.mark.usefixtures("small_run")
def test_a_set_of_another_size_than_the_recipe_says_is_told(tmp_path: Path) -> None:
    recipe = tmp_path / "made/experiment.toml"
    recipe.write_text(recipe.read_text().replace("ipc = 2", "ipc = 3"))
    with pytest.raises(RunError, match="failed: cda, delt"):
        CliRunner().invoke(cli, ["evaluate", "made", "-e", "cost", "-q"], catch_exceptions=False)
    failures = {score.failure for score in read_results(tmp_path / "made/evaluations/cost").scores}
    assert "the set of cda, seed 0, has 20 images, not the 30 of its recipe" in failures
