"""A matcher and a network in files of the user's: workers that do not see the files are sent their texts.

Engines are given both by test_engines.py.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from delt_host.contracts.observer import Observer
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.spread.task import Description
from delt_host.spread.task import tasks as tasks_of
from delt_host.spread.worker import Worker
from delt_host.stages.host import Host
from delt_host.stages.story import prepare_run
from delt_host.store.store import Store
from ones_own import write_own


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return write_own(tmp_path)


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
    tasks = tasks_of(comparison)
    description = replace(Description.of(comparison, 1), files=registry.files.sources())
    assert sorted(description.files[f"{own}/mine.py"]) == ["helpers.py", "later.py", "mine.py"]
    there = Store(tmp_path / "there")
    shutil.copytree(tmp_path / "here", tmp_path / "there", dirs_exist_ok=True)
    shutil.rmtree(own)
    worker = Worker(Description.from_json(description.to_json()), there)
    for task in tasks:
        worker.do(task)  # RunError where it would make another result
    assert {task.stage for task in tasks} >= {"recover", "evaluate"} and all(there.holds(*task.entry) for task in tasks)
