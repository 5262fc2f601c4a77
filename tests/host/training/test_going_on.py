"""A student whose training is stopped goes on after the epoch that was kept, to the bits of one that never was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import make_problem
from delt_host.contracts.dataset import RealData
from delt_host.contracts.labels import Labels
from delt_host.contracts.protocol import Fair, Protocol
from delt_host.contracts.sets import Distilled
from delt_host.contracts.teacher import Teacher
from delt_host.store.resume import Checkpoint
from delt_host.training.students import train_student
from delt_plugins.controls.real import Real
from delt_plugins.labels.relabelers import Online


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        ({"optimizer": "adamw"}, 1),
        ({"optimizer": "sgd", "schedule": "step", "milestones": (0.3, 0.7), "step_restarts": True}, 1),
        ({"average": 0.9}, 1),
        ({"batch_size": 10, "accumulate": 2}, 1),
        ({}, 3),
    ],
    ids=["adamw", "restarts", "average", "parts", "more images"],
)
def test_it_goes_on_to_the_same_bits(
    digits: RealData, teacher: Teacher, tmp_path: Path, settings: dict[str, Any], images: int
) -> None:
    known = {name: value for name, value in settings.items() if name in Protocol.model_fields}
    assert known == settings, f"not the protocol's: {settings.keys() - known.keys()}"
    problem = make_problem(digits, teacher, epochs=5).under(Fair(epochs=5, **settings))
    start = Real().initialize(problem, range(problem.num_classes)).images
    distilled = Distilled.of(start.repeat(images, 1, 1, 1), problem.targets().repeat(images))
    labels = Labels(problem, distilled, Online())
    whole = train_student(problem, labels, "convnet3")

    told: list[int] = []

    def stop(done: int, _losses: dict[str, float]) -> None:
        told.append(done)
        if len(told) == 3:
            raise Stopped

    place = tmp_path / "student.safetensors"
    with pytest.raises(Stopped):
        train_student(problem, labels, "convnet3", stop, checkpoint=Checkpoint(place, every=0))
    again: list[int] = []
    gone_on = train_student(
        problem, labels, "convnet3", lambda done, _l: again.append(done), checkpoint=Checkpoint(place, every=0)
    )

    assert again[0] == 3
    assert sum(again) == len(whole.curve["epoch"])
    ours, theirs = whole.student.state_dict(), gone_on.student.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("last", "best", "per_class", "curve", "steps", "epochs"):
        assert getattr(gone_on, name) == getattr(whole, name), name
