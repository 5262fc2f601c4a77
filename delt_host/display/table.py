"""The comparison in the terminal: for each evaluator the scores, a column a regime, plain sentences, and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.basics.file_words import short_name
from delt_host.basics.units import duration, size, spans
from delt_host.compare.answers import answers
from delt_host.compare.lines import Line, Point, lines_over, not_measured
from delt_host.compare.naming import ABSENT, Naming, naming
from delt_host.compare.shares import called, percent
from delt_host.contracts.results import EvaluatorRecord, Results
from delt_host.contracts.varied import value_shown

FEW_ROWS = 3
"""With more the sentences on all pairs are more than anybody reads: they are in results.json and on the page."""
ROLE_STYLE = {"method": "bold", "baseline": "", "control": "dim", "ceiling": "dim"}


def show(console: Console, results: Results | Sequence[Point]) -> None:
    """Print, for each evaluator, the scores and the cost of every row, and what can be told from them.

    Of several runs all are in one table, with a column for each thing in which they differ.
    """
    points = [Point({}, results)] if isinstance(results, Results) else results
    found: dict[str, list[Line]] = {}
    for line in lines_over(points):
        found.setdefault(line.evaluator.title, []).append(line)
    regimes = {regime.name for point in points for regime in point.results.regimes}
    for title, chosen in found.items():
        for scores in _scores(f"{about(points)}{short_name(title)}", chosen):
            console.print(scores)
        rows = _rows(chosen)
        for row in rows:
            for sentence in _sentences(row, len(regimes) > 1, pairs=len(rows) <= FEW_ROWS):
                console.print(f"  {sentence}", highlight=False)
        if title == next(iter(found)):
            for sentence in answered(points):
                console.print(f"  {sentence}", highlight=False, markup=False)
        if any(line.steps for line in chosen):  # the others train nothing and cost next to nothing
            console.print(_costs(chosen))
            console.print(_students(chosen))
    for told in _regimes(points):
        console.print(f"  {told}", highlight=False, markup=False)
    for told in dict.fromkeys(point.results.scored_on for point in points):
        if told:
            console.print(f"  {told[0].upper()}{told[1:]}.", highlight=False, markup=False)
    seeds = spans(dict.fromkeys(seed for point in points for seed in point.results.recipe["seeds"]))
    if (students := max((line.students for own in found.values() for line in own), default=1)) > 1:
        seeds += f", each the mean of {students} students"
    if any(line.row.image_bytes for own in found.values() for line in own):
        console.print(
            "  Sizes are of one set: its images, and + the labels that a regime stores beside them.", highlight=False
        )
    console.print(f"  ± is the standard deviation over seeds {seeds}.", highlight=False, markup=False)


def answered(points: Sequence[Point]) -> list[str]:
    """What the table answers; of several runs, each behind what it varies."""
    found = []
    for point in points:
        where = f"{_where(point.varied)}: " if point.varied and len(points) > 1 else ""
        found += [where + sentence for sentence in answers(point.results)]
    return found


def about(points: Sequence[Point]) -> str:
    """What all of the runs are on."""
    said = {(results.data.name, f"IPC {results.recipe['ipc']}") for results in (point.results for point in points)}
    return "".join(f"{values.pop()}, " for values in map(set, zip(*said, strict=True)) if len(values) == 1)


def _regimes(points: Sequence[Point]) -> Iterator[str]:
    """What each regime is; where it is not the same in all runs, in which."""
    found: dict[str, list[Point]] = {}
    for point in points:
        for regime in point.results.regimes:
            protocol, relabeler = regime.protocol, short_name(regime.relabeler.get("name", ""))
            epoch = (
                f"best epoch, chosen on the {point.results.split} set" if protocol.report == "best" else "last epoch"
            )
            told = f"{regime.name}: labels {relabeler}, protocol {protocol.title} [{protocol.fingerprint}], {epoch}."
            found.setdefault(told, []).append(point)
    for told, where in found.items():
        yield told if len(where) == len(points) else f"{'; '.join(_where(point.varied) for point in where)}: {told}"


def _where(point: Mapping[str, Any]) -> str:
    """`digits, ipc 10`."""
    return ", ".join(
        value_shown(value) if key == "dataset" else f"{key} {value_shown(value)}" for key, value in point.items()
    )


def _rows(chosen: Iterable[Line]) -> list[list[Line]]:
    """The lines of each row, in the order of the table."""
    rows: dict[tuple[str, str], list[Line]] = {}
    for line in chosen:
        rows.setdefault(_key(line), []).append(line)
    return list(rows.values())


def _key(line: Line) -> tuple[str, str]:
    """The same for the same row of the same run."""
    return _where(line.point), line.row.label


def _columns(chosen: Iterable[Line]) -> list[str]:
    """The regimes that they are under."""
    return list(dict.fromkeys(line.column for line in chosen))


def _sentences(row: Sequence[Line], several: bool, pairs: bool) -> list[str]:
    """What can be told of a row and of `pairs`, and why it failed where it did; with the regime where there are several."""
    where, found = "".join(f"{escape(point)}: " for point in filter(None, [_where(row[0].point)])), []
    label = where + escape(called(row[0].row))
    if row[0].row.matched:
        found.append(f"{label}: {escape(row[0].row.matched)}")
    for line in row:
        under = f" under {escape(line.column)}" if several and line.column else ""
        found += [f"{where}{escape(line.called)}{under}: {escape(each.sentence)}" for each in line.differences if pairs]
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
    title = f"{heading}: {score(chosen[0].evaluator)}" if any(columns) else heading
    tables = [_table(title, chosen, with_best=best and len(columns) == 1)]
    if best and len(columns) > 1:
        split = next(score.split for line in chosen for score in line.scores)
        tables.append(_table(f"best epoch, chosen on the {split} set", chosen, of_best=True))
    return tables


def _named(table: Table, names: Naming, chosen: Sequence[Line]) -> None:
    """The columns that say which row is which."""
    longest = max(len(names.cells(line)[len(names.points)]) for line in chosen)
    for place, heading in enumerate(names.headings(short=True)):
        least = min(longest, 11) if place == len(names.points) else None
        table.add_column(escape(heading), overflow="fold", min_width=least)


def _table(title: str, chosen: Sequence[Line], with_best: bool = False, of_best: bool = False) -> Table:
    # Eighty columns must do: figures are never broken over lines, names are.
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD)
    names = naming(chosen)
    _named(table, names, chosen)
    table.add_column("role", no_wrap=True)
    sizes = {line.row.image_bytes for line in chosen if line.done}
    stored = bool(sizes - {0})
    if apart := len(sizes) > 1:
        table.add_column("images", justify="right", no_wrap=True)
    elif stored:
        table.title = f"{table.title}, images {size(*sizes)}"
    columns, shown = _columns(chosen), {}
    for column in columns:
        own = [line for line in chosen if line.column == column]
        alike = len({line.label_bytes for line in own if line.done}) < 2
        for line in own:
            summary = line.best if of_best else line.summary
            beneath = "" if alike or not line.done else f"\n+ {size(line.label_bytes)}"
            shown[column, _key(line)] = line.shown(summary) + beneath
        name = escape(column) or (score(chosen[0].evaluator) if len(columns) == 1 else "set")
        if stored and column and alike:
            name += f"\n+ {size(max(line.label_bytes for line in own))}"
        width = max(len(text) for line in own for text in shown[column, _key(line)].split("\n"))
        table.add_column(name, justify="right", overflow="fold", min_width=width)
    if with_best:
        table.add_column("best epoch", justify="right")
    table.add_column("n", justify="right", no_wrap=True)
    if elsewhere := not_measured(chosen):
        table.add_column("figure", no_wrap=True)
    for row in _rows(chosen):
        record = row[0].row
        cells = [*map(escape, names.cells(row[0])), record.role, *[size(record.image_bytes)] * apart]
        cells += [shown.get((column, _key(row[0])), ABSENT) for column in columns]
        cells += [row[0].shown(row[0].best)] if with_best else []
        cells.append("/".join(dict.fromkeys(str(line.summary.n) for line in row)))
        if elsewhere:
            cells.append(", ".join(dict.fromkeys(line.provenance for line in row if line.provenance)))
        table.add_row(*cells, style=ROLE_STYLE[record.role])
    return table


def score(evaluator: EvaluatorRecord) -> str:
    """What is scored, in which unit, and which end is the better one."""
    name = "top-1" if evaluator.headline == "top1" else evaluator.headline
    return " ".join(filter(None, (name, evaluator.unit, "(lower is better)" * (evaluator.better == "lower"))))


def _costs(chosen: Sequence[Line]) -> Table:
    # Eighty columns must do: figures are never broken over lines, a long method's name is.
    table = Table(title="cost of one set", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = naming(chosen)
    _named(table, names, chosen)
    held = any(line.row.of for line in chosen)
    for heading in ("image-its", *["of published\nits", "of published\nsteps"] * held, "recover"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in _rows(chosen):
        line = row[0]
        steps = [percent(each.share_of_steps) for each in row if each.share_of_steps is not None]
        table.add_row(
            *map(escape, names.cells(line)),
            f"{line.row.cost.image_iterations:,}",
            *[percent(line.row.share_of_iterations), "\n".join(steps) or ABSENT] * held,
            duration(line.recover_seconds),
            style=ROLE_STYLE[line.row.role],
        )
    return table


def _students(chosen: Sequence[Line]) -> Table:
    """What a student takes: one line a regime for all rows that are alike in it."""
    table = Table(title="cost of one student", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = naming(chosen)
    for heading in (*names.headings("regime", short=True)[: len(names.points) + 1], "of"):
        table.add_column(escape(heading), overflow="fold")
    for heading in ("steps", "train"):
        table.add_column(heading, justify="right", no_wrap=True)
    alike: dict[tuple[str, ...], dict[int, list[Line]]] = {}
    for line in chosen:
        if line.done:
            place = *names.point(line), line.column
            alike.setdefault(place, {}).setdefault(line.steps, []).append(line)
    for place, groups in alike.items():
        most = max(map(len, groups.values()))
        for steps, group in groups.items():
            named = ", ".join(line.called for line in group)
            of = named if len(group) < most else "every row" if len(groups) == 1 else "other rows"
            seconds = fmean(line.train_seconds for line in group)
            table.add_row(*map(escape, place), escape(of), f"{steps:,}", duration(seconds))
            most += len(group) == most  # of two that are as large, one is the others
    return table
