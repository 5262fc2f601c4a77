"""A matcher and a network in files of the user's: workers that see the files read them, others are sent their texts."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from commands import delt_host
from delt_host.contracts.observer import Observer
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.stages.host import Host
from delt_host.stages.story import prepare_run
from delt_host.store.store import Store
from delt_plugins.engines import work

pytestmark = pytest.mark.long

MINE = """
from torch import nn

from delt_host import Matcher
from helpers import scaled


class Mine(Matcher):
    def bind(self, problem):
        network = problem.network

        def match(views):
            from later import half

            return {"mine": half * scaled(network(views.images)).view(views.groups, -1).mean(1)}

        return match


def net(num_classes, image_size):
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(128, num_classes))
"""
RUN = shlex.split(
    "--method cda --matcher ./own/mine.py:Mine --student ./own/mine.py:net --no-controls --ipc 1 --seeds 1 --threads 1 "
    "--regime hard --set dataset.image_size=16 --set teacher.epochs=1 --set scheduler.iterations=4 --set protocol.epochs=2"
)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    (folder / "helpers.py").write_text("def scaled(logits):\n    return logits.square()\n")
    (folder / "later.py").write_text("half = 0.5\n")
    return folder


def test_a_worker_without_the_files_makes_the_same(own: Path, tmp_path: Path) -> None:
    registry = load_registry()
    options = {
        "dataset.image_size": 16, "teacher.epochs": 1, "scheduler.iterations": 2, "protocol.epochs": 1,
    }  # fmt: skip
    request = Request(
        method=["cda"], matcher="./own/mine.py:Mine", student=["./own/mine.py:net"], teacher=["convnet3"],
        control=[], regime=["hard"], ipc=1, seeds=1, set=options,
    )  # fmt: skip
    experiment = resolve(request, registry)
    here = Store(tmp_path / "here")
    comparison = prepare_run(experiment, Host(registry, here, Observer()))
    tasks = work.tasks(comparison)
    description = work.Description(work.recipe_of(experiment), 1, registry.files.sources())
    assert sorted(description.files[f"{own}/mine.py"]) == ["helpers.py", "later.py", "mine.py"]
    there = Store(tmp_path / "there")
    shutil.copytree(tmp_path / "here", tmp_path / "there", dirs_exist_ok=True)
    shutil.rmtree(own)
    worker = work.Worker(work.Description.from_json(description.to_json()), there)
    for task in tasks:
        worker.do(task)  # RunError where it would make another result
    assert {task.stage for task in tasks} >= {"recover", "evaluate"} and all(there.holds(*task.entry) for task in tasks)


@pytest.mark.parametrize(("engine", "library"), [("ray", "ray"), ("slurm,executor=local,per_job=8", "submitit")])
def test_engines_take_files_along(own: Path, tmp_path: Path, engine: str, library: str) -> None:
    pytest.importorskip(library)
    done = delt_host("run", *RUN, "--engine", engine, "--out", "made")
    assert done.returncode == 0, done.stderr
    assert "pieces" in done.stderr and "recover cda (matcher=mine.py:Mine), seed 0: from the store" in done.stderr
    again = delt_host("run", *RUN, "--out", "again")
    assert (
        again.returncode == 0
        and "evaluate cda (matcher=mine.py:Mine), seed 0, mine.py:net: from the store" in again.stderr
    )
