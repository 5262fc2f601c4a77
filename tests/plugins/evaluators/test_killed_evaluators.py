"""An evaluator that is killed anywhere in its students goes on there, to the scores of one that never was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from conftest import make_problem
from delt_host.contracts.dataset import RealData
from delt_host.contracts.evaluator import Evaluation, Evaluator
from delt_host.contracts.sets import Distilled
from delt_host.contracts.taught import Taught
from delt_host.store.resume import Checkpoint
from delt_plugins.controls.real import Real
from delt_plugins.evaluators.continual import Continual
from delt_plugins.evaluators.pruning import Pruning
from delt_plugins.evaluators.ranking import AugmentationRobust
from delt_plugins.evaluators.robustness import Robustness
from delt_plugins.evaluators.students import CrossArchitecture
from delt_plugins.kit import random_teacher
from delt_plugins.labels.relabelers import Fkd

EPOCHS = 2


class Killed(BaseException):
    """What a kill is to the code it hits: nothing of it runs on."""


@pytest.mark.parametrize(
    ("evaluator", "students"),
    [
        (Robustness(), 1),
        (CrossArchitecture(models=("convnet3", "mobilenet_v2_half")), 2),
        (Continual(steps=2), 2),
        (Pruning(network="convnet3"), 2),
        (AugmentationRobust(), 4),
    ],
    ids=["robustness", "cross-architecture", "continual", "pruning", "augmentation-robust"],
)
def test_each_epoch_of_each_student_is_trained_once(
    digits: RealData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluator: Evaluator, students: int
) -> None:
    problem = make_problem(digits, random_teacher(digits), epochs=EPOCHS)
    start = Real().initialize(problem, range(problem.num_classes))
    distilled = Distilled.of(start.images, problem.targets())

    def evaluated(checkpoint: Checkpoint) -> Evaluation:
        lent = replace(problem, services=replace(problem.services, checkpoint=checkpoint))
        return evaluator.evaluate(lent, distilled, Taught(lent, Fkd(), distilled))

    whole = evaluated(Checkpoint(None))
    save, place, kills = Checkpoint.save, tmp_path / "evaluate-key", 0

    def save_and_die(self: Checkpoint, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        save(self, tensors, facts)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", save_and_die)
        while True:  # each time a new process, which lives to the end of one epoch
            checkpoint = Checkpoint(place, every=0)
            try:
                gone_on = evaluated(checkpoint)
                break
            except Killed:
                kills += 1
                assert kills <= students * EPOCHS, "an epoch was trained again"
    assert kills == students * EPOCHS
    assert (gone_on.scores, gone_on.facts) == (whole.scores, whole.facts)
    assert checkpoint.spent > 0, "the seconds before the kills are counted"
    assert list(tmp_path.iterdir())
    checkpoint.clear()
    assert not list(tmp_path.iterdir())
