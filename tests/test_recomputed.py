"""What an edit recomputes, and what it does not, by real commands in two processes."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import python

_FILE = Path(__file__).parents[1] / "benchmarks" / "recomputed.py"
_spec = importlib.util.spec_from_file_location("recomputed", _FILE)
assert _spec and _spec.loader
table: Any = importlib.util.module_from_spec(_spec)
sys.modules["recomputed"] = table
_spec.loader.exec_module(table)


def command(words: list[str], folder: Path, environment: dict[str, str]) -> Any:
    return python(*words, cwd=folder, env=environment)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugins and the store of a first run."""
    folder = tmp_path_factory.mktemp("before")
    table.write(folder)
    assert table.run(folder, command) == table.STAGES
    return folder


@pytest.mark.parametrize("row", table.PLUGIN_ROWS, ids=[row.what for row in table.PLUGIN_ROWS])
def test_an_edit_recomputes_what_depends_on_it_and_nothing_else(row: Any, before: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(before, tmp_path / "after")
    table.edit(row, folder)
    assert table.run(folder, command) == row.recomputed
