"""The comparison in the terminal: for each evaluator the scores, a column a regime, plain sentences, and costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import fmean

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.basics.units import duration, size
from delt_host.compare.lines import Line, lines
from delt_host.contracts.results import EvaluatorRecord, Results

ROLE_STYLE = {"method": "bold", "baseline": "", "control": "dim", "ceiling": "dim"}


def show(console: Console, results: Results) -> None:
    """Print, for each evaluator, the scores and the cost of every row, and what can be told from them."""
    for title, under in groupby(lines(results), lambda line: line.evaluator.title):
        chosen = list(under)
        for scores in _scores(f"{results.data.name}, IPC {results.recipe['ipc']}, {title}", chosen):
            console.print(scores)
        for row in _rows(chosen):
            for sentence in _sentences(row, len(results.regimes) > 1):
                console.print(f"  {sentence}", highlight=False)
        if any(line.steps for line in chosen):  # the others train nothing and cost next to nothing
            console.print(_costs(chosen))
            console.print(_students(chosen))
    seeds = ", ".join(map(str, results.recipe["seeds"]))
    if (students := max((line.students for line in lines(results)), default=1)) > 1:
        seeds += f", each the mean of {students} students"
    for regime in results.regimes:
        protocol, relabeler = regime.protocol, regime.relabeler.get("name", "")
        epoch = "best epoch, chosen on the test set" if protocol.report == "best" else "last epoch"
        console.print(
            f"  {regime.name}: labels {relabeler}, protocol {protocol.title} [{protocol.fingerprint}], {epoch}.",
            highlight=False,
            markup=False,
        )
    console.print(f"  ± is the standard deviation over seeds {seeds}.", highlight=False, markup=False)


def _rows(chosen: Iterable[Line]) -> list[list[Line]]:
    """The lines of each row, in the order of the table."""
    rows: dict[str, list[Line]] = {}
    for line in chosen:
        rows.setdefault(line.row.label, []).append(line)
    return list(rows.values())


def _columns(chosen: Iterable[Line]) -> list[str]:
    """The regimes that they are under."""
    return list(dict.fromkeys(line.column for line in chosen))


def _sentences(row: Sequence[Line], several: bool) -> list[str]:
    """What can be told of a row, and why it failed where it did; with the regime where there are several."""
    label, found = escape(row[0].row.label), []
    if row[0].row.matched:
        found.append(f"{label}: {escape(row[0].row.matched)}")
    for line in row:
        under = f" under {escape(line.column)}" if several and line.column else ""
        found += [f"{label}{under}: {escape(difference.sentence)}" for difference in line.differences]
    failed: dict[str, list[str]] = {}
    for line in row:
        for failure in line.failures:
            failed.setdefault(failure, []).append(line.column)
    for failure, columns in failed.items():
        under = f" under {', '.join(map(escape, columns))}" if several and len(columns) < len(row) else ""
        found.append(f"[red]{label} failed{under}:[/red] {escape(failure)}")
    return found


def _scores(heading: str, chosen: Sequence[Line]) -> list[Table]:
    """The scores, and the best epochs' where these differ: a column beside one regime's, a table beside several."""
    columns, best = _columns(chosen), any(line.best.n and line.best.mean != line.summary.mean for line in chosen)
    # Under regimes these are the columns' names, and what is scored stands above.
    title = f"{heading}: {_score(chosen[0].evaluator)}" if any(columns) else heading
    tables = [_table(title, chosen, with_best=best and len(columns) == 1)]
    if best and len(columns) > 1:
        tables.append(_table("best epoch, chosen on the test set", chosen, of_best=True))
    return tables


def _table(title: str, chosen: Sequence[Line], with_best: bool = False, of_best: bool = False) -> Table:
    # Eighty columns must do: figures are never broken over lines, names are.
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("method", overflow="fold")
    table.add_column("role", no_wrap=True)
    columns, rows, shown = _columns(chosen), _rows(chosen), {}
    for line in chosen:
        summary = line.best if of_best else line.summary
        shown[line.column, line.row.label] = summary.shown(line.digits)
    for column in columns:
        width = max(len(text) for place, text in shown.items() if place[0] == column)
        name = escape(column) or (_score(chosen[0].evaluator) if len(columns) == 1 else "set")
        table.add_column(name, justify="right", overflow="fold", min_width=width)
    if with_best:
        table.add_column("best epoch", justify="right")
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("figure", no_wrap=True)
    for row in rows:
        record = row[0].row
        cells = [shown.get((column, record.label), "–") for column in columns]
        cells += [row[0].best.shown(row[0].digits)] if with_best else []
        count = "/".join(dict.fromkeys(str(line.summary.n) for line in row))
        figure = ", ".join(dict.fromkeys(line.provenance for line in row if line.provenance))
        table.add_row(escape(record.label), record.role, *cells, count, figure, style=ROLE_STYLE[record.role])
    return table


def _score(evaluator: EvaluatorRecord) -> str:
    """What is scored, in which unit, and which end is the better one."""
    name = "top-1" if evaluator.headline == "top1" else evaluator.headline
    return " ".join(filter(None, (name, evaluator.unit, "(lower is better)" * (evaluator.better == "lower"))))


def _costs(chosen: Sequence[Line]) -> Table:
    # Eighty columns must do: figures are never broken over lines, a long method's name is.
    table = Table(title="cost of one set", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", overflow="fold", min_width=11)
    for heading in ("image-its", "recover", "images"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line, *_ in _rows(chosen):
        table.add_row(
            escape(line.row.label),
            f"{line.row.cost.image_iterations:,}",
            duration(line.recover_seconds),
            size(line.row.image_bytes),
            style=ROLE_STYLE[line.row.role],
        )
    return table


def _students(chosen: Sequence[Line]) -> Table:
    """What a student takes: one line a regime for all rows that are alike in it."""
    table = Table(title="cost of one student", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("regime", overflow="fold")
    table.add_column("of", overflow="fold")
    for heading in ("labels", "steps", "train"):
        table.add_column(heading, justify="right", no_wrap=True)
    alike: dict[tuple[str, int, int], list[Line]] = {}
    for line in chosen:
        if line.done:
            alike.setdefault((line.column, line.label_bytes, line.steps), []).append(line)
    for column in _columns(chosen):
        groups = {key: group for key, group in alike.items() if key[0] == column}
        most = max(map(len, groups.values()), default=0)
        for (_, labels, steps), group in groups.items():
            named = ", ".join(line.row.label for line in group)
            of = named if len(group) < most else "every row" if len(groups) == 1 else "other rows"
            seconds = fmean(line.train_seconds for line in group)
            table.add_row(escape(column), escape(of), size(labels), f"{steps:,}", duration(seconds))
            most += len(group) == most  # of two that are as large, one is the others
    return table
