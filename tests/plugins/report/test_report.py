"""Tables of finished runs in other formats, the list of runs, and the doctor."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from delt_host.cli import cli, table
from delt_host.contracts.results import (
    CostRecord,
    DataRecord,
    Environment,
    EvaluatorRecord,
    ProtocolRecord,
    RegimeRecord,
    Results,
    RowRecord,
    Score,
)

LINES = {"delt": (62.38, 63.94, 65.5), "cda|50%_&": (65.0,), "broken": ()}


def results(*labels: str) -> Results:
    """What a run of these rows would leave: each with its scores of `LINES`, or a failure where it has none."""
    cost = CostRecord(image_iterations=63750, multiply_adds=1e9, peak_bytes=None)
    rows, scores = [], []
    for label in labels:
        role = "method" if label == "delt" else "baseline"
        row = RowRecord(
            label=label, role=role, components={}, ipc=10, units=10, count=10, image_bytes=307200, cost=cost
        )  # fmt: skip
        rows.append(row)
        shared = {
            "row": label,
            "regime": "views",
            "evaluator": "convnet3",
            "label_bytes": 1100000,
            "recover_seconds": 72.9,
        }
        scores += [Score(**shared, set=number, scores={"top1": value}) for number, value in enumerate(LINES[label])]
        if not LINES[label]:
            scores.append(Score(row=label, regime="views", evaluator="convnet3", set=0, scores={}, failure="it broke"))
    return Results(
        recipe={"ipc": 10},
        data=DataRecord(name="folder", fingerprint="f"),
        teachers=(),
        regimes=(RegimeRecord(name="views", relabeler={}, protocol=ProtocolRecord(title="fair v2", fingerprint="0")),),
        evaluators=(
            EvaluatorRecord(name="student", title="convnet3", headline="top1", unit="%", better="higher", options={}),
        ),
        rows=tuple(rows),
        scores=tuple(scores),
        differences=(),
        environment=Environment(device="cpu", threads=1, precision="fp32", python="3.11", system="Linux", versions={}),
        plugins=(),
    )


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output if not result.exception else f"{result.output}{result.exception}"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name, labels in (("first", tuple(LINES)), ("second", ("delt",))):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "experiment.toml").write_text("ipc = 10")
        results(*labels).write(folder)
    (tmp_path / "runs" / "third").mkdir()
    (tmp_path / "runs" / "third" / "experiment.toml").write_text("ipc = 10")
    return tmp_path / "runs"


def test_markdown_and_latex_escape_what_comes_from_files(runs: Path) -> None:
    code, markdown = call("report", str(runs / "first"))
    assert code == 0 and r"cda\|50%\_\&" in markdown and "63.9 ± 1.6 %" in markdown and "1 min 13 s" in markdown
    assert all(line.count(" | ") == 9 for line in markdown.splitlines() if not line.startswith("|-"))
    code, latex = call("report", str(runs / "first"), "--format", "latex")
    assert code == 0 and r"50\%\_\&" in latex and r"\toprule" in latex


def test_json_has_each_rows_figures_and_null_for_what_is_not_there(runs: Path) -> None:
    code, text = call("report", str(runs / "first"), "--json")
    first, second, third = json.loads(text)
    assert code == 0 and (first["mean"], first["n"]) == (pytest.approx(63.94), 3)
    assert first["by_set"] == {"0": 62.38, "1": 63.94, "2": 65.5} and second["std"] is None
    assert (third["mean"], third["n"], third["failures"]) == (None, 0, ["it broke"])


def test_csv_has_plain_numbers_and_all_runs(runs: Path) -> None:
    code, text = call("report", str(runs / "first"), str(runs / "second"), "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0 and [row["run"] for row in rows] == ["first"] * 3 + ["second"]
    assert (float(rows[0]["mean"]), float(rows[0]["std"])) == (pytest.approx(63.94), pytest.approx(1.56))
    assert (rows[0]["image-iterations"], rows[0]["images"], rows[1]["std"]) == ("63750", "307200", "")
    assert rows[2]["mean"] == "" and rows[2]["score"].startswith("–")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not finished"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"lines": [1]}', "results.json.recipe must be given"),
        ('{"format": 2}', "is of results format 2; this delt-host reads up to 1: update it"),
        ('{"format": "one"}', "results.json.format must be 1, not 'one'"),
        ('{"format": 1}', "results.json.recipe must be given"),
    ],
)
def test_runs_that_cannot_be_reported_are_refused(runs: Path, content: str | None, said: str) -> None:
    if content is not None:
        (runs / "third" / "results.json").write_text(content)
    code, output = call("report", str(runs / "third"))
    assert code != 0 and said in output and "third" in output
    assert output.count("\n") <= 1, "one sentence"
    assert "is not the folder of a run" in call("report", str(runs / "fourth"))[1]


def test_runs_are_listed_with_their_best_row(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = call("runs", str(runs), "--json")
    found = {run["run"]: run for run in json.loads(text)}
    assert code == 0 and found["first"]["best"] == "cda|50%_&: 65.0 %" and found["third"]["best"] == "unfinished"
    assert found["first"]["dataset"] == "folder, IPC 10, 3 seeds"
    (runs / "second" / "results.json").write_text('{"lines": [{}]}')
    again = {run["run"]: run for run in json.loads(call("runs", str(runs), "--json")[1])}
    assert "recipe must be given" in again["second"]["best"] and again["first"] == found["first"]
    assert "there is no folder" in call("runs", str(runs / "none"))[1]


def test_the_doctor_says_what_a_run_would_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = call("doctor", "--json")
    seen = json.loads(text)
    assert code == 0 and seen["wrong"] == [] and "torch" in seen and str(tmp_path / "store") in seen["store"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DELT_HOST_STORE", str(tmp_path / "file" / "store"))
    code, text = call("doctor")
    assert code != 0 and "cannot be written" in text


def test_the_terminal_has_a_column_a_regime_and_never_breaks_a_figure() -> None:
    """Three regimes of long names on eighty columns, with the best epochs that papers report in a table of their own."""
    one = results("delt")
    names = ("views", "hard:a-protocol-of-a-long-name", "fixed:another-protocol,protocol.epochs=1000")
    regimes = tuple(RegimeRecord(name=n, relabeler={}, protocol=one.regimes[0].protocol) for n in names)
    scores = tuple(
        score.model_copy(
            update={"regime": name, "scores": {"top1": 10.0 * place + value, "best": 10.0 * place + value + 1}}
        )
        for place, name in enumerate(names)
        for score, value in zip(one.scores, LINES["delt"], strict=True)
    )
    console = Console(width=80, file=io.StringIO())
    table.show(
        console,
        one.model_copy(update={"regimes": regimes, "scores": scores, "recipe": {"ipc": 10, "seeds": [0, 1, 2]}}),
    )
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, said.splitlines())) <= 80
    (first, second) = [line.split("method", 1)[1] for line in said.splitlines() if " delt " in line]
    assert first.split("3   measured")[0].split() == ["63.9", "±", "1.6", "73.9", "±", "1.6", "83.9", "±", "1.6"]
    assert second.split("3   measured")[0].split() == ["64.9", "±", "1.6", "74.9", "±", "1.6", "84.9", "±", "1.6"]
    assert said.index("best epoch, chosen on the test set") > said.index("63.9")
