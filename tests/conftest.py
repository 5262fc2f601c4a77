"""A small real problem: the handwritten digits at 8 px, four of a class, a ConvNet-3 with random weights as teacher."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delt_host.compute import Compute
from delt_host.data import DATASETS
from delt_host.data.base import RealData
from delt_host.problem import Problem
from delt_host.protocols import Protocol
from delt_host.teacher import Teacher
from delt_host.testing import random_teacher

FP32 = Compute("cpu", "fp32")


@pytest.fixture(scope="session")
def digits() -> RealData:
    return DATASETS["digits"](image_size=8).load()


@pytest.fixture(scope="session")
def teacher(digits: RealData) -> Teacher:
    return random_teacher(digits)


def make_problem(data: RealData, teacher: Teacher, ipc: int = 4, seed: int = 0, **protocol: object) -> Problem:
    settings = Protocol(**{"epochs": 3, **protocol})  # type: ignore[arg-type]
    return Problem(data=data, teachers=(teacher,), ipc=ipc, seed=seed, protocol=settings, compute=FP32)


@pytest.fixture
def problem(digits: RealData, teacher: Teacher) -> Problem:
    return make_problem(digits, teacher)


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's store or working folder."""
    monkeypatch.setenv("DELT_HOST_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _global_rng_untouched() -> object:
    """Nothing we do may draw from or move torch's global generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state was moved"
