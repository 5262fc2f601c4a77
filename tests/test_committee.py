"""A run with several teachers through the command line, and what methods publish for single datasets."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import lines_of
from delt_host.cli import cli
from delt_host.errors import InputError
from delt_host.experiment import Experiment
from delt_host.lines import Line
from delt_host.plugins import load_registry
from delt_host.request import Request
from delt_host.resolve import resolve
from delt_host.results import read_results
from delt_host.squeeze import TeacherRecipe
from delt_plugins.delt import DELT

pytestmark = pytest.mark.usefixtures("with_teacher")

SMALL = [
    "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4",
    "--set", "scheduler.iterations=8", "--set", "protocol.epochs=2", "-q",
]  # fmt: skip
FOLDER = {"name": "folder", "path": ".", "published": "cifar10"}


def resolved(**request: object) -> Experiment:
    return resolve(Request(**request), load_registry())  # type: ignore[arg-type]


def models(experiment: Experiment) -> list[str]:
    return [teacher.model for teacher in experiment.teachers if isinstance(teacher, TeacherRecipe)]


def test_a_committee_matches_and_labels_and_the_others_do_not_depend_on_it(tmp_path: Path) -> None:
    def run(out: str, *arguments: str) -> dict[str, Line]:
        result = CliRunner().invoke(cli, ["run", *arguments, *SMALL, "--out", out], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return lines_of(tmp_path / out)

    teachers = ("--teacher", "convnet3", "--teacher", "convnet3_in")
    both = run("both", "-m", "gvbsm,matcher.patches=2", "-b", "delt", "--regime", "views", *teachers)
    made_with = read_results(tmp_path / "both").teachers
    assert [teacher.architecture for teacher in made_with] == ["convnet3", "convnet3_in"]
    line = both["gvbsm (matcher.patches=2)"]
    assert line.row.cost.image_iterations == 8 * 20 and line.failures == []

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("facts.json")}
    alone = run("alone", "-m", "delt", "--set", "matcher.weight=0.01", "--regime", "views", "--teacher", "convnet3")
    made = [p for p in (tmp_path / "store").rglob("facts.json") if before.get(p) != p.stat().st_mtime_ns]
    stages = sorted(path.relative_to(tmp_path / "store").parts[0] for path in made)
    assert stages == ["evaluate", "labels", "relabel"], (
        "only the control that was not in the first run: delt's own start"
    )
    assert both["delt"].headline == alone["delt"].headline

    recipe = tmp_path / "both" / "experiment.toml"
    assert [t["model"] for t in tomllib.loads(recipe.read_text())["teacher"]] == ["convnet3", "convnet3_in"]
    again = run("again", str(recipe))
    assert {label: line.headline for label, line in again.items()} == {
        label: line.headline for label, line in both.items()
    }


def test_methods_bring_their_published_committee_unless_teachers_are_named() -> None:
    assert models(resolved(method=["gvbsm"])) == ["convnet3", "convnet4"]  # the digits' own, small
    published = ["convnet3", "resnet18", "convnet3_in", "mobilenet_v2", "wrn_16_2", "shufflenet_v2_x0_5"]
    assert models(resolved(method=["delt", "edc"], dataset=FOLDER)) == published
    assert models(resolved(method=["delt"], dataset=FOLDER)) == ["convnet3"]
    told = resolved(method=["delt"], regime=["committee:gvbsm"])
    assert models(told) == ["convnet3", "convnet4"], "a committee that labels is squeezed as one that is matched"
    assert models(resolved(method=["gvbsm"], teacher=["resnet18", "wrn_16_2"])) == ["resnet18", "wrn_16_2"]
    with pytest.raises(InputError, match="a teacher is given twice"):
        resolved(method=["gvbsm"], teacher=["resnet18", "resnet18"])


def test_published_settings_are_those_of_the_dataset_and_of_one_ipc() -> None:
    def iterations(ipc: int, **request: object) -> int:
        return resolved(method=["delt"], ipc=ipc, **request).rows[0].scheduler.component.iterations  # type: ignore

    assert iterations(10, dataset=FOLDER) == 4000
    assert iterations(1, dataset=FOLDER) == 2000
    assert iterations(1, dataset={**FOLDER, "published": ""}) == 4000
    assert (
        iterations(1, dataset=FOLDER, set={"scheduler.iterations": "800", "scheduler.round_iterations": "100"}) == 800
    )
    rows = resolved(method=["sre2l"], dataset=FOLDER).rows
    assert rows[0].scheduler is not None and rows[0].scheduler.component.iterations == 1000  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="unknown dataset 'cifar1O'; did you mean 'cifar10'"):
        resolved(method=["delt"], dataset={**FOLDER, "published": "cifar1O"})


def test_early_late_at_one_image_per_class_says_that_nothing_joins_late() -> None:
    loud = [s for s in SMALL if s != "-q"]
    result = CliRunner().invoke(cli, ["run", "-m", "delt", *loud, "--ipc", "1"], catch_exceptions=False)
    assert result.exit_code == 0 and "none can join late" in result.output


def test_components_swapped_by_flag_are_swapped_in_the_rows_of_a_recipe_too() -> None:
    rows = resolved(method=["delt"], baseline=["cda"]).table()["row"]
    swapped = resolved(row=rows, matcher="general-statistics").rows
    matchers = {row.label: row.matcher.name for row in swapped if row.matcher}
    assert matchers == {"delt (matcher=general-statistics)": "general-statistics", "cda": "batch-norm"}


def test_settings_of_an_ipc_hold_on_every_dataset_and_those_of_both_go_first() -> None:
    wanted = {
        "digits": {"scheduler.iterations": 1, "scheduler.roll": 1},
        "ipc 1": {"scheduler.iterations": 2},
        "digits ipc 1": {"scheduler.roll": 3},
    }
    method = DELT.model_copy(update={"datasets": wanted})
    assert method.published("digits", 10) == wanted["digits"]
    assert method.published("another", 1) == wanted["ipc 1"]
    assert method.published("digits", 1) == {"scheduler.iterations": 2, "scheduler.roll": 3}
