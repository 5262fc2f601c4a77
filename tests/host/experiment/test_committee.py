"""A run with several teachers through the command line, and what methods publish for single datasets."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import lines_of
from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_host.compare.lines import Line
from delt_host.contracts.dataset import RealData
from delt_host.contracts.results import read_results
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_plugins.delt.plugin import DELT
from delt_plugins.kit import random_teacher

pytestmark = pytest.mark.usefixtures("with_teacher")

SMALL = [
    "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4",
    "--set", "scheduler.iterations=8", "--set", "protocol.epochs=2", "-q",
]  # fmt: skip
FOLDER = {"name": "folder", "path": ".", "published": "cifar10"}


def resolved(**request: object) -> Experiment:
    return resolve(Request(**request), load_registry())  # type: ignore[arg-type]


def names(experiment: Experiment) -> list[str]:
    return [teacher.name for teacher in experiment.teachers]


def test_a_committee_matches_and_labels_and_the_others_do_not_depend_on_it(tmp_path: Path) -> None:
    def run(out: str, *arguments: str) -> dict[str, Line]:
        result = CliRunner().invoke(cli, ["run", *arguments, *SMALL, "--out", out], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return lines_of(tmp_path / out)

    gvbsm = 'gvbsm,matcher.patch=4,matcher.teachers=["convnet3","convnet3_in"]'
    both = run("both", "-m", gvbsm, "-b", "delt", "--regime", "views")
    made_with = read_results(tmp_path / "both").teachers
    assert [teacher.architecture for teacher in made_with] == ["convnet3", "convnet3_in"]
    line = next(line for label, line in both.items() if label.startswith("gvbsm ("))
    assert line.row.cost.image_iterations == 8 * 20 and line.failures == []

    before = set((tmp_path / "store").glob("[!.]*/*"))
    alone = run("alone", "-m", "delt", "--set", "matcher.weight=0.01", "--regime", "views", "--teacher", "convnet3")
    made = set((tmp_path / "store").glob("[!.]*/*")) - before
    stages = sorted(path.relative_to(tmp_path / "store").parts[0] for path in made)
    assert stages == ["evaluate", "finish", "labels", "pack", "relabel"], (
        "only the control that was not in the first run: delt's own start"
    )
    assert both["delt"].headline == alone["delt"].headline

    recipe = tmp_path / "both" / "experiment.toml"
    assert [t["model"] for t in tomllib.loads(recipe.read_text())["teacher"]] == ["convnet3", "convnet3_in"]
    again = run("again", str(recipe))
    assert {label: line.headline for label, line in again.items()} == {
        label: line.headline for label, line in both.items()
    }


def test_components_bring_the_teachers_that_they_ask_for() -> None:
    assert names(resolved(method=["gvbsm"])) == ["convnet3", "convnet4"]  # the digits' own, small
    five = ["resnet18", "convnet3_in", "mobilenet_v2_half", "wrn_16_2", "shufflenet_v2_half"]
    published = ["convnet3", *five, "convnet1_in", "convnet2_in", "convnet3_in_w32"]
    assert names(resolved(method=["gvbsm"], dataset=FOLDER)) == ["convnet3", *five]
    assert names(resolved(method=["delt", "edc"], dataset=FOLDER)) == published
    assert names(resolved(method=["delt"], dataset=FOLDER)) == ["convnet3"]
    assert names(resolved(method=["delt"], teacher=["resnet18", "wrn_16_2"])) == ["resnet18", "wrn_16_2"]
    assert names(resolved(method=["delt"], set={"matcher.teachers": "resnet18"})) == ["convnet3", "resnet18"]
    large = ["resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5"]
    assert names(resolved(method=["gvbsm"], dataset={**FOLDER, "published": "imagenette"})) == ["convnet3", *large]


def test_whom_a_component_asks_is_squeezed_as_the_others_are(tmp_path: Path) -> None:
    options = {"matcher.teachers": ["convnet4"], "teacher.model": "convnet5", "teacher.epochs": "2"}
    experiment = resolved(method=["delt"], set=options)
    first, asked = (teacher.recipe for teacher in experiment.teachers)
    assert (first["model"], asked["model"]) == ("convnet5", "convnet4") and first["epochs"] == asked["epochs"] == 2
    again = Request.from_table(tomllib.loads(experiment.to_toml()), "the recipe")
    assert resolve(again, load_registry()).teachers == experiment.teachers, "a recipe repeats them"


def test_teachers_of_one_architecture_have_names(digits: RealData, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    random_teacher(digits).save(file)
    told = ["convnet3", {"name": "short", "model": "convnet3", "epochs": 1}, {"name": "mine", "file": str(file)}]
    experiment = resolved(method=["delt"], teacher=told, set={"matcher.teachers": ["mine", "short"]})
    assert names(experiment) == ["convnet3", "short", "mine"]
    assert names(resolved(method=["delt"], teacher=[str(file)])) == ["convnet3"], "a file goes by its architecture"
    for teachers, sentence in (
        (["resnet18", "resnet18"], "the teacher resnet18 is given twice"),
        (["convnet3", str(file)], "two teachers go by 'convnet3': give one another name"),
        (["none", "resnet18"], "--teacher none stands alone"),
        ([{"file": str(file), "epochs": 3}], "mine.safetensors; teacher.epochs cannot be set"),
        ([{"squeezer": "samm"}], "unknown squeezer 'samm'; did you mean 'sam'"),
    ):
        with pytest.raises(InputError, match=sentence):
            resolved(method=["delt"], teacher=teachers)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {},
            "matcher batch-norm asks the teacher 'convnt4', which is none of convnet3 and no model: .*; nearest: convnet4",
        ),
        ({"teacher": ["none"]}, "matcher batch-norm asks the teacher 'convnt4', and --teacher none is given"),
    ],
)
def test_a_teacher_that_does_not_exist_is_one_sentence(said: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        resolved(method=["delt"], set={"matcher.teachers": "convnt4"}, **said)


def test_a_run_s_recipe_takes_other_teachers_under_its_own_names() -> None:
    run = Request(teacher=["convnet3", {"name": "big", "model": "resnet18"}, "convnet4"])
    there = run.with_teachers(["a.safetensors", "b.safetensors"]).teacher
    first, second = (str(Path(f"{name}.safetensors").absolute()) for name in "ab")
    assert there == [{"file": first}, {"file": second, "name": "big"}, "convnet4"]
    assert run.with_teachers([]) == run and run.with_teachers(["none"]).teacher == ["none"]


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
