"""Results that grow, sweeps, and what is installed, from Python."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import delt_host
from asking import FRESH, TINY, Mean, tiny
from delt_host import Initializer, InputError, Method, Problem, Start, use
from delt_host.plugins.registry import load_registry


def test_a_result_grows_with_its_objects(tmp_path: Path) -> None:
    first = tiny(tmp_path, method="sre2l", matcher=Mean, set=FRESH)
    sets = {**TINY["set"], **FRESH}
    grown = delt_host.run(
        first, method="sre2l", matcher=Mean(weight=0.5), set=sets, controls=False, quiet=True, store=tmp_path / "store"
    )
    assert grown.rows == ["sre2l (matcher=Mean)", "sre2l (matcher=Mean(weight=0.5))"]
    assert grown.folder == first.folder
    before = {score.row: score.scores for score in first.results.scores}
    assert {score.row: score.scores for score in grown.results.scores}.items() >= before.items()


def test_lists_are_sweeps(tmp_path: Path) -> None:
    made = tiny(tmp_path, ipc=[1, 2])
    assert [*made.runs] == ["ipc-1", "ipc-2"] and made.swept
    assert made.runs["ipc-2"].images("random-real").shape == (20, 3, 8, 8)
    assert ">ipc</th>" in made._repr_html_() and "ipc" in str(made)
    again = delt_host.load_run(tmp_path / "run")
    assert [*again.runs] == [*made.runs] and str(again) == str(made)
    if "pandas" in sys.modules:
        assert list(made.to_pandas()["ipc"]) == [1, 2]


def test_what_is_installed_is_listed_and_described() -> None:
    assert "delt" in delt_host.list_methods() and "convnet3" in delt_host.list_names("networks")
    (record,) = delt_host.describe("batch-norm") if len(delt_host.describe("batch-norm")) == 1 else [None]
    assert record is None or record["options"]
    with pytest.raises(InputError, match="unknown kind 'matchr'; did you mean"):
        delt_host.list_names("matchr")
    with pytest.raises(InputError, match="unknown name 'delta'; did you mean 'delt'"):
        delt_host.describe("delta")


class Level(Initializer):
    """Images of one grey."""

    level: int = 10
    """Of 255."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        count = len(classes) * problem.count
        return Start(torch.full((count, 3, problem.image_size, problem.image_size), self.level, dtype=torch.uint8))


GREY = {**TINY, "method": "random-real", "initializer": Level}


def test_a_class_and_its_instances_are_told_apart(tmp_path: Path) -> None:
    first = tiny(tmp_path, **{**GREY, "initializer": Level(level=200)})
    places = {"store": tmp_path / "store", "quiet": True, "set": TINY["set"], "controls": False}
    grown = delt_host.run(first, method="random-real", initializer=Level, **places)
    assert grown.rows == ["random-real (initializer=Level(level=200))", "random-real (initializer=Level)"]
    assert [int(grown.images(row).unique()) for row in grown.rows] == [200, 10]
    again = delt_host.run(first, method="random-real", initializer=Level, **places)  # the same cell once more
    assert again.rows == grown.rows
    more = delt_host.run(first, seeds=2, **places)  # an older result of a folder that has grown
    assert more.rows == grown.rows and {score.set for score in more.results.scores} == {0, 1}


def test_a_method_that_was_given_may_be_gone_on_with(tmp_path: Path) -> None:
    method = Method(summary="grey", initializer=use(Level, level=30))
    first = tiny(tmp_path, method=method)
    assert delt_host.run(first, seeds=2, store=tmp_path / "store", quiet=True, set=TINY["set"]).rows == ["grey"]


def test_what_a_function_was_given_is_a_part_of_what_it_makes(tmp_path: Path) -> None:
    (tmp_path / "makers.py").write_text(
        "from torch import nn\ndef maker(width):\n    def net(num_classes, image_size):\n"
        "        return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, width), nn.Linear(width, num_classes))\n"
        "    return net\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        makers = importlib.import_module("makers")
        keys = [
            tiny(tmp_path, student=makers.maker(width), out=tmp_path / f"run-{nth}").results.scores[0].key
            for nth, width in enumerate((4, 4, 8))
        ]
    assert keys[0] == keys[1] != keys[2]


def test_an_evaluation_asks_the_teacher_that_was_given(tmp_path: Path) -> None:
    options = {
        "store": tmp_path / "store",
        "quiet": True,
        "threads": 1,
        "set": {"dataset.image_size": 8, "teacher.epochs": 1},
    }
    (teacher,) = delt_host.squeeze(dataset="digits", teacher="convnet3", **options)
    made = tiny(tmp_path, teacher=teacher, regime="views")
    scored = delt_host.evaluate(made, students=2, store=tmp_path / "store", quiet=True)
    assert scored.results.teachers[0].fingerprint == teacher.fingerprint
    other = delt_host.evaluate(scored, evaluator="diversity", store=tmp_path / "store", quiet=True)  # of the same run
    assert other.folder.parent == scored.folder.parent
    with pytest.raises(InputError, match="is the folder of an evaluation"):
        delt_host.evaluate(scored.folder, evaluator="cost")
    network = teacher.network(
        teacher.class_names, delt_host.Compute.choose("cpu", "fp32"), load_registry().things("model")
    )
    again = delt_host.evaluate(made, teacher=network, store=tmp_path / "store", quiet=True, out=tmp_path / "given")
    assert not again.failures


def test_an_evaluation_tells_the_budget_that_its_sets_were_brought_to(tmp_path: Path) -> None:
    made = tiny(tmp_path, method="sre2l", match="image-iterations=200", teacher="convnet3", set={"teacher.epochs": 1})
    scored = delt_host.evaluate(made, students=2, store=tmp_path / "store", quiet=True)
    assert not scored.failures and made.results.rows[0].matched
    for mine, theirs in zip(scored.results.rows, made.results.rows, strict=True):
        assert (mine.matched, mine.cost.image_iterations) == (theirs.matched, theirs.cost.image_iterations)
        assert (mine.of, mine.share_of_iterations) == (theirs.of, theirs.share_of_iterations)
