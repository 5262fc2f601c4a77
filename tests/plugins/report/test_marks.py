"""Scores of less than a fifth of a published budget carry a mark in every rendering of a table, as their rows' names do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from delt_host.api.result import Result
from delt_host.cli import cli
from delt_host.compare.answers import answers
from delt_host.compare.differences import compare
from delt_host.compare.lines import Point, lines
from delt_host.compare.shares import called, percent
from delt_host.contracts.results import Results
from delt_host.display import table
from delt_host.display.text import Table
from delt_plugins.report.page import render_page
from made_results import made_results

SCORES = {"delt": [60.0, 61.1, 62.3], "cda": [50.0, 50.1, 50.4], "random-real": [40.0, 41.0, 42.5]}
OF = {
    "delt": {"of": "paper", "share_of_iterations": 0.023, "shares_of_steps": {"hard": 0.12, "views": 0.9}},
    "cda": {"of": "cda", "share_of_iterations": 0.2, "shares_of_steps": {"hard": 0.2, "views": 0.19}},
}
NOTE = (
    "† of less than a fifth of the published budget, so no figure of the published method: delt (2.3 % of paper's iterations; "
    "12 % of its students' steps under hard), cda (19 % of cda's students' steps under views)."
)


def results(marked: bool = True) -> Results:
    found = made_results({"hard": SCORES, "views": SCORES})
    rows = tuple(row.model_copy(update=OF.get(row.label, {}) if marked else {}) for row in found.rows)
    scores = tuple(score.model_copy(update={"facts": {"steps": 20}}) for score in found.scores)
    regimes = tuple(regime.model_copy(update={"relabeler": {"name": "hard"}}) for regime in found.regimes)
    found = found.model_copy(update={"rows": rows, "scores": scores, "regimes": regimes})
    return found.model_copy(update={"differences": compare(found)})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    results().write(tmp_path)
    return tmp_path


def terminal(found: Results) -> str:
    console = Console(file=io.StringIO(), width=200)
    table.show(console, found)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def report(run: Path, form: str) -> str:
    result = CliRunner().invoke(cli, ["report", str(run), "--format", form], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def cells(line: str, between: str) -> list[str]:
    return [cell.strip(" \\") for cell in line.split(between)]


def test_shares_are_said_as_a_person_reads_them() -> None:
    assert [*map(percent, (0.0004, 0.023, 0.12, 1.0, 2.5, None))] == ["0.04 %", "2.3 %", "12 %", "100 %", "250 %", "–"]


def test_sentences_name_a_marked_row_with_its_mark_where_its_scores_have_one() -> None:
    said = answers(results())
    assert said[-1] == NOTE and not any("†" in each for each in answers(results(marked=False)))
    hard, views = (next(each for each in said if each.startswith(name)) for name in ("hard: ahead", "views: ahead"))
    assert "delt† by" in hard and "cda by" in hard and "delt† by" in views and "cda† by" in views
    pairs = {(each.row, each.other, each.regime): each.sentence for each in results().differences}
    assert pairs["delt", "cda", "hard"].startswith("ahead of cda by")
    assert pairs["delt", "cda", "views"].startswith("ahead of cda† by")
    assert [called(row) for row in results().rows] == ["delt†", "cda", "random-real"]
    alone = made_results({"hard": {"delt": [60.0]}})
    alone = alone.model_copy(update={"rows": (alone.rows[0].model_copy(update=OF["delt"]),)})
    assert answers(alone)[0].startswith("† of less"), "a row alone is compared with nothing, and marked"


def test_the_terminal_marks_scores_and_names_and_has_the_shares_among_the_costs() -> None:
    said = terminal(results()).splitlines()
    delt = [line.split() for line in said if line.split()[:1] == ["delt†"] and "under" not in line]
    assert delt[0] == ["delt†", "method", "61.1", "±", "1.2†", "61.1", "±", "1.2†", "3"]
    assert delt[1] == ["delt†", "1", "2.3", "%", "12", "%", "–"]
    cda = [line.split() for line in said if line.split()[:1] == ["cda"] and "under" not in line]
    assert (
        cda[0] == ["cda", "baseline", "50.2", "±", "0.2", "50.2", "±", "0.2†", "3"] and cda[1][2:6] == ["20", "%"] * 2
    )
    assert NOTE in " ".join(" ".join(said).split())
    assert any("delt† under hard: ahead of cda by" in line for line in said)
    assert "of published" not in terminal(results(marked=False)) and "†" not in terminal(results(marked=False))
    console = Console(file=io.StringIO(), width=80)
    table.show(console, results())
    assert max(map(len, console.file.getvalue().splitlines())) <= 80  # type: ignore[attr-defined]


def test_a_notebook_and_its_data_frame_have_them() -> None:
    html = Table([Point({}, results())])._repr_html_()
    assert (
        "delt†</td>" in html
        and "61.1 ± 1.2†</td>" in html
        and "50.2 ± 0.2</td>" in html
        and "students&#x27; steps" in html
    )
    result = Result.of(results(), Path())
    assert any(each.startswith("delt† under hard: ahead of cda by") for each in result.differences)
    pytest.importorskip("pandas")
    frame = result.to_pandas().set_index(["row", "regime"])
    assert frame.loc[("delt", "hard"), ["of", "share_of_iterations", "share_of_steps"]].tolist() == [
        "paper",
        0.023,
        0.12,
    ]


def test_tables_for_papers_and_programs_have_them(run: Path) -> None:
    markdown, latex = report(run, "markdown"), report(run, "latex")
    (row,) = [line for line in markdown.splitlines() if "| hard " in line and "delt†" in line]
    assert {"61.1 ± 1.2† %", "2.3 %", "12 %"} <= {*cells(row, "|")}
    assert NOTE in markdown and "of published steps" in markdown
    (row,) = [line for line in latex.splitlines() if " hard " in line and "delt†" in line and "item" not in line]
    assert {"61.1 ± 1.2† \\%", "2.3 \\%", "12 \\%"} <= {*cells(row, " & ")} and "\\item † of less" in latex
    found = [*csv.DictReader(io.StringIO(report(run, "csv")))]
    held = ("published method", "of published iterations", "of published steps")
    assert [found[0][name] for name in held] == ["paper", "0.023", "0.12"] and [found[2][name] for name in held] == [
        ""
    ] * 3
    first = json.loads(report(run, "json"))[0]
    assert (first["of"], first["share_of_iterations"], first["share_of_steps"]) == ("paper", 0.023, 0.12)
    results(marked=False).write(run)
    assert "of published" not in report(run, "markdown")


def test_the_page_has_them(run: Path) -> None:
    page = render_page([run])
    assert "<title>delt† against cda" in page and "61.1 ± 1.2†</td>" in page and "50.2 ± 0.2</td>" in page
    assert '<td data-value="0.023">2.3 %</td>' in page and '<td data-value="0.12">12 %</td>' in page
    assert "† of less than a fifth of the published budget" in page
    assert [line.called for line in lines(results())] == ["delt†", "cda", "random-real", "delt†", "cda†", "random-real"]
