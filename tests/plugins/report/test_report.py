"""Tables of finished runs in other formats, the list of runs, and the doctor."""

from __future__ import annotations

import csv
import io
import json
from html import escape
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from delt_host.basics import escapes
from delt_host.cli import cli
from delt_host.compare.answers import answers
from delt_host.compare.lines import Point
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
from delt_host.display import table
from delt_host.display.text import Table
from made_results import made_results

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
    assert all(line.count(" | ") == 9 for line in markdown.splitlines() if line.startswith("| "))
    assert markdown.endswith("\n\n- One seed tells no rows apart: --seeds 3 or more shows by how much they vary.\n")
    code, latex = call("report", str(runs / "first"), "--format", "latex")
    assert code == 0 and r"50\%\_\&" in latex and r"\toprule" in latex
    assert latex.endswith("--seeds 3 or more shows by how much they vary.\n\\end{itemize}\n")


def test_what_a_table_answers_stands_below_it_in_every_format(tmp_path: Path) -> None:
    rows = {
        "delt": [5.0, 6.1, 7.0],
        "cda_1 & <2>": [4.0, 4.1, 5.5],
        "random-real": [1.0, 2.2, 3.0],
        "rded": [1.0, 2.0, 1.0],
    }
    found = made_results({"hard": rows})
    found.write(tmp_path)
    said = answers(found)
    assert said[0].startswith("Ahead of random-real: delt by 4.0 ± ") and "cda_1 & <2>" in said[0]
    markdown, latex = (call("report", str(tmp_path), "--format", form)[1] for form in ("markdown", "latex"))
    assert all(f"- {escapes.markdown(each)}\n" in markdown for each in said)
    assert latex.count(r"\item") == len(said) and r"cda\_1 \& \textless{}2\textgreater{}" in latex
    drawn = " ".join(shown(found).split())
    assert all(each in drawn for each in said), "the terminal"
    assert not any(each.sentence in drawn for each in found.differences), "four rows: pairs are on the page"
    html = Table([Point({}, found)])._repr_html_()
    assert all(escape(each) in html for each in said)
    few = made_results({"hard": {label: rows[label] for label in ("delt", "random-real")}})
    assert few.differences[0].sentence in " ".join(shown(few).split())
    swept = [Point({"ipc": ipc}, found) for ipc in (1, 10)]
    console = Console(file=io.StringIO(), width=300)
    table.show(console, swept)
    assert f"ipc 10: {said[0]}" in console.file.getvalue()


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
    assert {row["split"] for row in rows} == {"test"}


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
    assert first.split()[:9] == ["63.9", "±", "1.6", "73.9", "±", "1.6", "83.9", "±", "1.6"]
    assert second.split()[:9] == ["64.9", "±", "1.6", "74.9", "±", "1.6", "84.9", "±", "1.6"]
    assert said.index("best epoch, chosen on the test set") > said.index("63.9")


def test_bytes_of_images_and_labels_stand_beside_every_score() -> None:
    """Once where all rows take alike: of images in the title, of labels below a regime's name; else beside each row."""
    one = results("delt", "cda|50%_&")
    regimes = tuple(one.regimes[0].model_copy(update={"name": name}) for name in ("hard", "fixed"))
    scores = tuple(
        score.model_copy(update={"regime": name, "label_bytes": 100 if name == "hard" else size})
        for name in ("hard", "fixed")
        for score in one.scores
        for size in [2048 if score.row == "delt" else 4096]
    )
    one = one.model_copy(update={"regimes": regimes, "scores": scores, "recipe": {"ipc": 10, "seeds": [0, 1, 2]}})
    said = shown(one).splitlines()
    assert said[0].rstrip() == "folder, IPC 10, convnet3: top-1 %, images 300.0 KiB"
    (heading,) = [line.split() for line in said if line.split()[:2] == ["method", "role"]]
    assert heading == ["method", "role", "+", "100", "B", "fixed", "n"]
    (of_delt,) = [place for place, line in enumerate(said) if "63.9" in line]
    assert said[of_delt + 1].split() == ["+", "2.0", "KiB"] and said[of_delt + 3].split() == ["+", "4.0", "KiB"]
    rows = (one.rows[0].model_copy(update={"image_bytes": 1024}), one.rows[1])
    said = shown(one.model_copy(update={"rows": rows})).splitlines()
    assert "images" not in said[0]
    assert any("1.0 KiB" in line and "63.9" in line for line in said)


def varied(*rows: tuple[str, str, str, dict[str, int]]) -> Results:
    """Results of rows as (label, name, role, options of the scheduler), whose label says the first of these."""
    one = results("delt")
    records = tuple(
        one.rows[0].model_copy(
            update={
                "label": label, "name": name, "role": role, "varied": ("scheduler.iterations",) if name else (),
                "components": {"scheduler": {"name": "constant", **options}} if options else {},
            }
        )
        for label, name, role, options in rows
    )  # fmt: skip
    scores = tuple(score.model_copy(update={"row": row.label}) for row in records for score in one.scores)
    recipe = {"ipc": 10, "seeds": [0, 1, 2]}
    return one.model_copy(update={"rows": records, "scores": scores, "recipe": recipe})


SWEPT = (
    ("delt (scheduler.iterations=500)", "delt", "method", {"iterations": 500}),
    ("delt (scheduler.iterations=1000)", "delt", "method", {"iterations": 1000}),
    ("cda", "", "baseline", {"iterations": 4000}),
    ("random-real", "", "control", {}),
)


def shown(found: Results) -> str:
    console = Console(width=80, file=io.StringIO())
    table.show(console, found)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_options_that_differ_are_columns_and_others_stay_in_the_label() -> None:
    lines = [line.split() for line in shown(varied(*SWEPT)).splitlines()]
    assert ["method", "iterations", "role", "+", "1.0", "MiB", "n"] in lines, "short, and no column that says one thing"
    assert [line[:3] for line in lines if line[:1] == ["delt"]][:2] == [
        ["delt", "500", "method"],
        ["delt", "1000", "method"],
    ]
    assert next(line[:3] for line in lines if line[:1] == ["cda"]) == ["cda", "4000", "baseline"], (
        "its own, not asked for"
    )
    assert next(line[:2] for line in lines if line[:1] == ["random-real"]) == ["random-real", "–"]
    alone = shown(varied(SWEPT[0], SWEPT[3]))
    assert "(scheduler.iterations=500)" in "".join(alone.split()), "one row's is no difference"
    assert "iterations" not in next(line for line in alone.splitlines() if "method" in line and "role" in line)


def test_rows_that_columns_do_not_tell_apart_keep_their_labels() -> None:
    """As where a budget brought two rows to the same iterations."""
    same = [(label, name, role, {"iterations": 700}) for label, name, role, _ in SWEPT[:2]]
    said = shown(varied(*same, ("delt (scheduler.iterations=9)", "delt", "baseline", {"iterations": 9})))
    assert "500" in said and "1000" in said and "700" in said


def test_every_format_has_the_columns(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    varied(*SWEPT).write(tmp_path / "run")
    found = list(csv.DictReader(io.StringIO(call("report", "run", "--format", "csv")[1])))
    assert [(row["method"], row["scheduler.iterations"]) for row in found] == [
        ("delt", "500"), ("delt", "1000"), ("cda", "4000"), ("random-real", "–"),
    ]  # fmt: skip
    assert "figure" not in found[0]
    assert "| delt        | 500 " in call("report", "run")[1]
    assert "delt & 500 " in " ".join(call("report", "run", "--format", "latex")[1].split())
    assert json.loads(call("report", "run", "--json")[1])[0]["varied"] == {"scheduler.iterations": "500"}
    page = call("report", "run", "--format", "html")[1]
    assert '<th scope="col" class="text">scheduler.iterations</th>' in page and '<td class="text">1000</td>' in page


def test_where_figures_are_from_is_a_column_as_soon_as_one_was_not_measured(tmp_path: Path) -> None:
    found = varied(*SWEPT)
    scores = tuple(score.model_copy(update={"provenance": "published"}) for score in found.scores[:3])
    found = found.model_copy(update={"scores": (*scores, *found.scores[3:])})
    assert "published" in shown(found) and "measured" in shown(found)
    (tmp_path / "run").mkdir()
    found.write(tmp_path / "run")
    rows = list(csv.DictReader(io.StringIO(call("report", "run", "--format", "csv")[1])))
    assert [row["figure"] for row in rows] == ["published", "measured", "measured", "measured"]
    assert ">figure</th>" in call("report", "run", "--format", "html")[1]
