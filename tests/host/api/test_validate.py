"""`delt_host.run(validate=…)`: what is scored on, what is refused, and who may look at what."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import delt_host
from asking import TINY, tiny
from delt_host import Evaluation, Evaluator, Initializer, InputError, Plan, Problem, Start
from delt_host.contracts.validation import with_validation
from delt_plugins.datasets.digits import Digits
from delt_plugins.report.formats import render


class Peeks(Initializer):
    """Looks at test images."""

    def initialize(self, problem: Problem, plan: Plan) -> Start:
        return Start(problem.data.test.read(torch.arange(problem.num_images)))


class Overlap(Evaluator):
    """How many images of a set are among those that it is scored on, and how many of these there are."""

    per = "set"
    headline = "common"
    unit = ""

    def evaluate(self, problem: Problem, distilled: object, taught: object) -> Evaluation:
        held = {each.numpy().tobytes() for each in problem.scored.read(torch.arange(len(problem.scored)))}
        own = [each.numpy().tobytes() for each in distilled.read(torch.arange(len(distilled)))]  # type: ignore[attr-defined, arg-type]
        return Evaluation({"common": float(sum(each in held for each in own))}, {"scored": len(problem.scored)})


def test_scores_are_of_images_that_no_start_has_whatever_the_seeds(tmp_path: Path) -> None:
    result = tiny(tmp_path, validate=0.2, seeds=[3, 5], ipc=20, evaluator=Overlap(), set={"dataset.image_size": 8})
    scores, data = result.results.scores, with_validation(Digits(image_size=8).load(), 0.2)
    assert {score.set for score in scores} == {3, 5} and {score.split for score in scores} == {"validation"}
    assert [score.scores["common"] for score in scores] == [0, 0]
    found = result.results.data
    assert found.fingerprint == data.fingerprint and found.training_images == len(data.train) and not found.test_images
    assert found.validation_images == len(data.scored) == scores[0].facts["scored"]
    assert "test images were not looked at" in result.results.scored_on
    with pytest.raises(InputError, match=r"validate is 0\.2 there, and 0\.1 here"):
        delt_host.run(result, validate=0.1, quiet=True, store=tmp_path / "store")


def test_a_component_that_looks_at_test_images_costs_its_row(tmp_path: Path) -> None:
    result = tiny(tmp_path, method=["random-real", "sre2l"], initializer=Peeks, validate=0.2)
    failures = {score.failure for score in result.results.scores}
    assert len(failures) == 1 and "test images are not looked at under --validate" in failures.pop()


def test_no_table_mixes_splits(tmp_path: Path) -> None:
    held = tiny(tmp_path, validate=0.2, out=tmp_path / "held")
    plain = tiny(tmp_path, out=tmp_path / "plain")
    assert plain.results.recipe["validate"] == 0.0 and plain.results.split == "test"
    with pytest.raises(InputError, match="some of the runs are scored on test images, others on validation images"):
        render([held.folder, plain.folder], "markdown")
    assert "Scored on 270 validation images (20 % of the training data" in render([held.folder], "markdown")
    assert "validation" not in render([plain.folder], "markdown")
    again = delt_host.evaluate(held, students=2, quiet=True, store=TINY.get("store", tmp_path / "store"))
    assert {score.split for score in again.results.scores} == {"validation"}


def test_a_teacher_that_was_not_squeezed_under_it_is_told_of_in_the_results(tmp_path: Path) -> None:
    """It may have been trained on what is held out; one that `squeeze(validate=…)` made was not."""
    options = {"dataset.image_size": 8, "teacher.epochs": 4}
    for share, files in ((0.2, "held.safetensors"), (0.0, "all.safetensors")):
        (made,) = delt_host.squeeze(teacher="convnet3", validate=share, set=options, quiet=True, store=tmp_path / "s")
        made.save(tmp_path / files)
    noted = {
        name: " ".join(
            tiny(
                tmp_path, method="sre2l", teacher=str(tmp_path / name), validate=0.2, out=tmp_path / f"run-{name}",
                set={"dataset.image_size": 8, "scheduler.iterations": 2},
            ).results.data.notes
        )
        for name in ("held.safetensors", "all.safetensors")
    }  # fmt: skip
    warning = (
        "was not squeezed under this --validate: if it was trained on the images of digits, it has seen those held out"
    )
    assert {name: warning in said for name, said in noted.items()} == {
        "held.safetensors": False,
        "all.safetensors": True,
    }
