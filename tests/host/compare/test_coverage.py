"""A sample of the simulation in docs/statistics.md, with bounds that hold by chance more than 999 times in 1,000."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def coverage() -> Any:
    file = Path(__file__).parents[3] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


TABLES = 150


@pytest.mark.parametrize("number", [1, 2, 5, 9, 13])
def test_intervals_hold_what_they_say(coverage: Any, number: int) -> None:
    """Four standard errors of so many independent tables, from 95 % and from 5 %; rows of one table only make it surer."""
    setting = coverage.SETTINGS[number]
    found = coverage.simulate(setting, TABLES, np.random.default_rng([number, 2026]))
    error = math.sqrt(0.95 * 0.05 / TABLES)
    assert abs(found.coverage - 0.95) < 4 * error, setting.name
    assert found.family_wise < 0.05 + 4 * error, setting.name


def test_what_a_pilot_decided_by_is_kept(coverage: Any) -> None:
    setting = coverage.Setting("pilot", 3, 2, points=3.0)
    drawn = coverage.Drawn(setting, np.random.default_rng(0))
    pilot, whole = drawn.rows(3, 2), drawn.rows(9, 4)
    assert all(
        whole["1"][number][student] == value for number, own in pilot["1"].items() for student, value in own.items()
    )
