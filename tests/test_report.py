"""Tables of finished runs in other formats, the list of runs, and the doctor."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from delt_host.cli import cli

LINE = {
    "label": "delt", "role": "method", "evaluator": "convnet3", "better": "higher", "unit": "%", "image_iterations": 63750,
    "recover_seconds": 72.9, "image_bytes": 307200, "label_bytes": 1100000,
    "summary": {"mean": 63.94, "std": 1.55, "n": 3},
}  # fmt: skip
OTHERS = [
    {**LINE, "label": "cda|50%_&", "role": "baseline", "summary": {"mean": 65.0, "std": None, "n": 1}},
    {**LINE, "label": "broken", "role": "baseline", "summary": {"mean": None, "std": None, "n": 0}},
]
EXPERIMENT = {"dataset": {"name": "folder"}, "ipc": 10, "seeds": [0, 1, 2]}


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output if not result.exception else f"{result.output}{result.exception}"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, lines in (("first", [LINE, *OTHERS]), ("second", [LINE])):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "experiment.toml").write_text("ipc = 10")
        (folder / "results.json").write_text(json.dumps({"experiment": EXPERIMENT, "lines": lines}))
    (tmp_path / "runs" / "third").mkdir()
    (tmp_path / "runs" / "third" / "experiment.toml").write_text("ipc = 10")
    return tmp_path / "runs"


def test_markdown_and_latex_escape_what_comes_from_files(runs: Path) -> None:
    code, markdown = call("report", str(runs / "first"))
    assert code == 0 and r"cda\|50%_&" in markdown and "63.9 ± 1.6 %" in markdown and "1 min 13 s" in markdown
    assert all(line.count(" | ") == 8 for line in markdown.splitlines() if not line.startswith("|-"))
    code, latex = call("report", str(runs / "first"), "--format", "latex")
    assert code == 0 and r"50\%\_\&" in latex and r"\toprule" in latex


def test_csv_has_plain_numbers_and_all_runs(runs: Path) -> None:
    code, text = call("report", str(runs / "first"), str(runs / "second"), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0 and [row["run"] for row in rows] == ["first"] * 3 + ["second"]
    assert (rows[0]["mean"], rows[0]["std"], rows[0]["image-iterations"]) == ("63.94", "1.55", "63750")
    assert rows[2]["mean"] == "" and rows[2]["score"].startswith("–")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not finished"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"lines": [1]}', "cannot be read"),
    ],
)
def test_runs_that_cannot_be_reported_are_refused(runs: Path, content: str | None, said: str) -> None:
    if content is not None:
        (runs / "third" / "results.json").write_text(content)
    code, output = call("report", str(runs / "third"))
    assert code != 0 and said in output and "third" in output
    assert "is not the folder of a run" in call("report", str(runs / "fourth"))[1]


def test_runs_are_listed_with_their_best_row(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = call("runs", str(runs), "--json")
    found = {run["run"]: run for run in json.loads(text)}
    assert code == 0 and found["first"]["best"] == "cda|50%_&: 65.0 %" and found["third"]["best"] == "unfinished"
    assert found["first"]["dataset"] == "folder, IPC 10, 3 seeds"
    (runs / "second" / "results.json").write_text('{"lines": [{}]}')
    again = {run["run"]: run for run in json.loads(call("runs", str(runs), "--json")[1])}
    assert again["second"]["best"] == "of another version"
    assert "there is no folder" in call("runs", str(runs / "none"))[1]


def test_the_doctor_says_what_a_run_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = call("doctor", "--json")
    seen = json.loads(text)
    assert code == 0 and seen["wrong"] == [] and "torch" in seen and str(tmp_path / "store") in seen["store"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DELT_HOST_STORE", str(tmp_path / "file" / "store"))
    code, text = call("doctor")
    assert code != 0 and "cannot be written" in text
