"""What a change recomputes, and what it does not, by real commands in two processes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from commands import cold, python
from conftest import ROOT

pytestmark = pytest.mark.long

_FILE = ROOT / "benchmarks" / "recomputed.py"
_spec = importlib.util.spec_from_file_location("recomputed", _FILE)
assert _spec and _spec.loader
table: Any = importlib.util.module_from_spec(_spec)
sys.modules["recomputed"] = table
_spec.loader.exec_module(table)


def command(words: list[str], folder: Path, environment: dict[str, str]) -> Any:
    if words[0] == "-c":
        return python(*words, cwd=folder, env=environment)
    # A flag of the interpreter needs one of its own, with the same host.
    path = os.pathsep.join([environment["PYTHONPATH"], str(table.ROOT)])
    return cold(*words, cwd=folder, env={**environment, "PYTHONPATH": path})


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """The plugins, the data and the store of a first run, which rows of the same words share."""

    @cache
    def made(words: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("before")
        table.write(folder)
        assert table.run(folder, command, words=words) == table.STAGES
        return folder

    return made


@pytest.mark.parametrize("row", table.PLUGIN_ROWS, ids=[row.what for row in table.PLUGIN_ROWS])
def test_a_change_recomputes_what_depends_on_it_and_nothing_else(
    row: Any, before: Callable[[tuple[str, ...]], Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(before(row.words), tmp_path / "after")
    row.change(folder)
    assert table.run(folder, command, row) == row.recomputed
