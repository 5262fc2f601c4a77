"""Reports beside a finished run, from whichever plugin; one that fails costs nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from conftest import Install
from delt_host.cli import cli
from running import TINY, call, whole

REPORTS = """
import sys
from pathlib import Path
from delt_host import hookimpl

def words(folder):
    file = Path(folder) / "words.txt"
    file.write_text((Path(folder) / "results.json").read_text()[:1])
    return file

def ends(folder):
    sys.exit(3)

def nothing(folder):
    pass

def bad(folder):
    raise ValueError("no ink")

@hookimpl
def delt_reports():
    return {"words": words, "ends": ends, "nothing": nothing, "bad": bad}
"""


@pytest.mark.parametrize("as_json", [False, True])
def test_each_report_is_written_and_one_that_fails_loses_nothing(
    tmp_path: Path, install: Install, as_json: bool
) -> None:
    install("my-reports", REPORTS)
    done = CliRunner().invoke(cli, [*TINY, "--out", "made", *["--json"] * as_json], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    whole(tmp_path / "made")
    said = "".join(done.stdout.split())
    for line in ("The report, for a browser: made/report.html", "The words: made/words.txt"):
        assert ("".join(line.split()) in said) is not as_json
    assert (tmp_path / "made/report.html").is_file() and (tmp_path / "made/words.txt").read_text() == "{"
    notes = [line for line in done.stderr.splitlines() if "there is no" in line]
    assert [note.partition(" of ")[0] for note in notes] == [
        f"note: there is no {each}" for each in ("ends", "nothing", "bad")
    ]
    assert "it called sys.exit(3) (my_reports.py, line 12); the results are complete without it" in notes[0]
    assert "my-reports 1.2 (my_reports): ValueError: no ink (my_reports.py, line 18)" in notes[2]


def test_a_report_that_is_left_out_is_not_written(tmp_path: Path) -> None:
    for command in ([*TINY, "-p", "no:report", "--out", "made"], ["evaluate", "made", "-e", "cost", "-q"]):
        output = call(*command)
        assert "made" in output and "for a browser" not in output
    assert not list((tmp_path / "made").rglob("report.html")), "an evaluation leaves out what its run left out"
