"""What the conformance kit asks of a squeezer."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

from torch import Tensor

from delt_host import Checkpoint, OnProgress, Problem, Squeezer, Teacher
from delt_host.workshop import awaited


class _Stopped(Exception):
    pass


def results(squeezer: Squeezer, problem: Problem) -> dict[str, Any]:
    return dict(_trained(squeezer, problem, Checkpoint(None), lambda _done, _losses: None))


def examine(squeezer: Squeezer, problem: Problem) -> None:
    """Finite weights that fit the network, the same under the same options, and after a kill; epochs that rise; images told."""
    name, told = type(squeezer).__name__, list[int]()
    weights = _trained(squeezer, problem, Checkpoint(None), lambda done, _losses: told.append(done))
    known = awaited(problem.data, squeezer).facts()
    Teacher.from_facts(known, weights).network(
        problem.class_names, problem.compute, problem.models
    )  # InputError: misfit
    assert all(bool(each.isfinite().all()) for each in weights.values()), f"{name}: some weights are not finite"
    said = squeezer.passes(problem.data)
    assert math.isclose(sum(told), said), f"{name}: passes() says {said:g} images, and progress was told of {sum(told)}"

    def same(other: dict[str, Tensor]) -> bool:
        return weights.keys() == other.keys() and all(weights[each].equal(other[each]) for each in weights)

    again = _trained(squeezer, problem, Checkpoint(None), lambda _done, _losses: None)
    assert same(again), (
        f"{name}: two trainings with one seed differ; draw from delt_host.toolbox's generator or isolated_rng"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        try:
            _trained(squeezer, problem, Checkpoint(path, every=0), _stop)
        except _Stopped:
            gone_on = _trained(squeezer, problem, Checkpoint(path, every=0), lambda _done, _losses: None)
            assert same(gone_on), f"{name}: a training that goes on after a kill leaves other weights"


def _stop(_done: int, _losses: dict[str, float]) -> None:
    raise _Stopped


def _trained(squeezer: Squeezer, problem: Problem, checkpoint: Checkpoint, progress: OnProgress) -> dict[str, Tensor]:
    """The last snapshot's weights."""
    snapshot, epoch = None, -1
    for snapshot in squeezer.train(problem.data, problem.compute, problem.models, checkpoint, progress):
        assert snapshot.epoch > epoch, f"{type(squeezer).__name__}: epoch {snapshot.epoch} comes after epoch {epoch}"
        epoch = snapshot.epoch
    assert snapshot is not None, f"{type(squeezer).__name__}: no snapshot, and the last one is the teacher"
    return snapshot.weights()
