"""The list of runs, whatever lies there and whoever asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import python
from running import TINY, call, refused


def test_each_folder_is_a_line_whatever_is_in_it(tmp_path: Path) -> None:
    call(*TINY, "--out", "runs/good")
    for name, content in {
        "damaged": "{",
        "deep": "[" * 100_000,
        "newer": '{"format": 99}',
        "other": "[]",
        "binary": "\0\xff",
    }.items():
        (tmp_path / "runs" / name).mkdir()
        (tmp_path / "runs" / name / "experiment.toml").write_text("= no toml")
        (tmp_path / "runs" / name / "results.json").write_text(content, encoding="latin-1")
    (tmp_path / "runs" / "foreign").mkdir()
    (tmp_path / "runs" / "file").write_text("")
    (tmp_path / "runs" / "loop").symlink_to("loop")
    import json

    said = {run["run"]: run["best"] for run in json.loads(call("runs", "--json"))}
    assert set(said) == {"good", "damaged", "deep", "newer", "other", "binary"}
    assert "random-real" in said.pop("good")
    assert "reads up to" in said.pop("newer")
    assert all("cannot be read" in line for line in said.values())
    call("runs")


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can become other users")
def test_what_another_user_may_not_read_or_write_is_said(tmp_path: Path) -> None:
    for name in ("good", "theirs", "private"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "experiment.toml").write_text("")
        (tmp_path / "runs" / name / "results.json").write_text("{}")
    done = python("-c", _AS_NOBODY, tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "good" in done.stdout and "cannot be read: Permission denied" in done.stdout
    assert "cannot be written: Permission denied; choose another with --out" in done.stdout
    assert "results.json cannot be read: Permission denied" in done.stdout


_AS_NOBODY = f"""
import os, sys
from pathlib import Path
from typing import Any
from click.testing import CliRunner
from delt_host.cli import cli
root = Path(sys.argv[1])
for path in (root, *root.parents):
    path.chmod(path.stat().st_mode | 0o055)
    if path.name.startswith("pytest-of-"): break
(root / "runs" / "theirs").chmod(0o700)
(root / "runs" / "private" / "results.json").chmod(0o600)
(root / "nobody").mkdir()
os.chown(root / "nobody", 65534, 65534)
os.environ["DELT_HOST_STORE"] = os.environ["HOME"] = str(root / "nobody")
os.setgid(65534); os.setuid(65534)
print(CliRunner().invoke(cli, ["runs", "--json"]).output)
for arguments in ({TINY!r} + ["--out", "theirs"], ["report", "runs/private"]):
    print(repr(CliRunner().invoke(cli, arguments).exception))
"""


@pytest.mark.parametrize("arguments", [["runs", "nowhere"], ["report", "nowhere"], ["evaluate", "nowhere"]])
def test_what_is_not_there_is_said(arguments: list[str]) -> None:
    assert "nowhere" in refused(*arguments)
