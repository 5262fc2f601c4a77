"""Commands in this process, for tests of what they leave in a run's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_host.contracts.results import Results, read_results
from delt_host.runs.saved_sets import SavedSets

TINY = [
    "run", "-m", "random-real", "--teacher", "none", "--regime", "hard", "--ipc", "1", "--seeds", "1", "--no-controls",
    "-q", "--set", "dataset.image_size=8", "--set", "protocol.epochs=1",
]  # fmt: skip
"""The least that leaves a set and a score."""


def call(*arguments: object) -> str:
    result = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object, kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def whole(run: Path) -> Results:
    """The results, and every set that they name is theirs."""
    results = read_results(run)
    assert results.sets
    for each in results.sets:
        SavedSets(run).read(each.row, each.set)
    return results
