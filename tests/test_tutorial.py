"""The tutorial does what it says: its files are written and its commands run, one after the other, in an empty folder."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest

from commands import MAIN, interpreter, shell
from conftest import lines_of

pytestmark = pytest.mark.long

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"
needs = ("pip", "setuptools")
SMALLER = {"scheduler.iterations=40": "scheduler.iterations=8", "protocol.epochs=15": "protocol.epochs=2"}
SMALLER_NETWORK = (
    '"model": "convnet3_in", "max_age": 20, "steps": 5',
    '"model": "convnet3_in_w32", "steps": 1, "batch": 32',
)
"""What its reader waits for, and a test need not."""


@pytest.mark.skipif(not all(importlib.util.find_spec(n) for n in needs), reason="the tutorial installs with pip")
def test_the_tutorial_from_an_empty_folder_to_a_row_in_the_table(tmp_path: Path) -> None:
    """pip installs into a folder of its own, without fetching anything, so that the environment stays as it was."""
    site = tmp_path / "site"
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, arguments in (("pytest", "-m pytest"), ("pip", "-m pip"), ("delt-host", f"{MAIN[0]} '{MAIN[1]}'")):
        (programs / name).write_text(f'#!/bin/sh\nexec {interpreter()} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this backwards: 0 switches isolation off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "200",
    }
    script = ["set -e"]
    said_by_the_host = []
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", TUTORIAL.read_text(), flags=re.MULTILINE | re.DOTALL):
        if language == "text":
            said_by_the_host.append(text.strip())
        elif language == "python":
            name = text.splitlines()[0].removeprefix("# ")
            script.append(f"cat > {name} <<'END'\n{text}END")
        else:
            for said, smaller in SMALLER.items():
                assert text.count(said) == text.count("delt-host run")
                text = text.replace(said, smaller)
            text = text.replace(*SMALLER_NETWORK)
            script.append(text)
    done = shell("\n".join(script), cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 passed") == 2
    assert re.search(r"smooth\W+smooth\W+0\.1\.0\W+matcher: smooth", done.stdout), done.stdout
    assert "smoothness: float, default 0.1" in done.stdout
    for run, label in (("first", "delt (matcher=smooth)"), ("second", "delt (matcher=smooth, matcher.smoothness=1)")):
        line = lines_of(tmp_path / "smooth" / run)[label]
        assert line.row.components["matcher"]["name"] == "smooth"
        assert line.summary.n == 2 and line.differences[0].other == "delt"
    assert "recover delt, seed 1: from the store" in done.stderr
    assert len(said_by_the_host) == 2 and [each for each in said_by_the_host if each not in done.stderr] == []
    matched = lines_of(tmp_path / "smooth" / "gradients")
    forms = {label: line.row.components["form"]["name"] for label, line in matched.items()}
    assert forms == {
        "dm (form=mosaic, matcher=gradients.py:Gradients)": "mosaic",
        "dm (form=mosaic)": "mosaic",
        "random-real (form=mosaic)": "mosaic",
        "random-real": "pixels",
    }
