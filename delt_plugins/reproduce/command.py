"""``delt-host reproduce``: the paper's tables and figures, measured cell by cell beside the published figures."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from delt_host import InputError, RunError
from delt_host.workshop import options, terminal


@click.command(
    "reproduce",
    cls=options.Command,
    examples={
        "which tables there are, with their cells": "delt-host reproduce --list",
        "what a table's ConvNet cells on CIFAR-10 would cost": "delt-host reproduce table1 --only cifar10 --ipc 10 --dry-run",
        "a small part of the budget, for a processor": "delt-host reproduce table1 --only cifar10 --ipc 10 --scale cpu",
    },
)
@click.argument("table", required=False)
@options.COMPARED.option("--list", "listed", is_flag=True, help="Name the tables, their cells and their files.")
@options.COMPARED.option(
    "--only",
    multiple=True,
    metavar="[AXIS=]VALUE",
    help="Cells with this value, e.g. cifar10 or method=DELT; of one axis any.",
)
@options.COMPARED.option("--ipc", multiple=True, metavar="N", help="Cells of this IPC: --only ipc=N.")
@options.COMPARED.option(
    "--student", multiple=True, metavar="MODEL", help="Cells of this student: --only student=MODEL."
)
@options.COMPARED.option(
    "--scale", default="paper", show_default=True, metavar="NAME", help="paper, or cpu: a part of the budget."
)
@options.COMPARED.option(
    "--reading", multiple=True, metavar="NAME", help="delt-paper, delt-repo; by default all that the table has."
)
@options.COMPARED.option("--seeds", metavar="N|LIST", help="How many seeds, or which, instead of the scale's.")
@options.DATA.option(
    "--dataset", multiple=True, metavar="NAME=OWN[:PATH]", help="Your own for one of the table's: cifar10=folder:PATH."
)
@options.DATA.option(
    "--teacher",
    multiple=True,
    metavar="[NAME=]MODEL|FILE",
    help="Teacher of all cells, or of those of dataset NAME; several: components ask by name.",
)
@options.sets("Option of every chosen cell; the table says so.")
@options.device
@options.precision
@options.stack
@options.workers
@options.compiled
@options.threads
@options.store
@options.plugins
@options.OUTPUT.option(
    "--out",
    type=options.Place(),
    default=Path("results"),
    show_default=True,
    help="Where finished cells are kept.",
)
@options.OUTPUT.option("--dry-run", is_flag=True, help="Print hours, bytes and what is missing; run nothing.")
@options.OUTPUT.option("--quiet", "-q", is_flag=True, help="No progress; only the table and errors.")
def command(
    table: str | None,
    listed: bool,
    only: tuple[str, ...],
    ipc: tuple[str, ...],
    student: tuple[str, ...],
    scale: str,
    reading: tuple[str, ...],
    dataset: tuple[str, ...],
    teacher: tuple[str, ...],
    sets: tuple[str, ...],
    workers: int,
    threads: int | None,
    store: Path | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    out: Path,
    dry_run: bool,
    quiet: bool,
    **said: Any,
) -> None:
    """Measure a published table, cell by cell.

    Each is printed beside the published figure. TABLE is a name that --list prints (table1, figure8) or the path of a
    table file of your own. Finished cells are kept and not run again, so a table grows over days and machines;
    `delt-host results` merges and prints what several have left.
    """
    if listed:
        _list()
        return
    if table is None:
        raise InputError("name a table, e.g. delt-host reproduce table1; --list prints them")
    from delt_host.workshop import (
        Host,
        Store,
        compute,
        default_store,
        engine_of,
        observer_for,
        parse_sets,
        share_of_threads,
    )
    from delt_plugins.reproduce import cell, forecast, measure, records, show
    from delt_plugins.reproduce.table import load_table, select

    console = terminal.out()
    chosen_table = load_table(table)
    wanted = [*only, *(f"ipc={value}" for value in ipc), *(f"student={value}" for value in student)]
    cells = select(chosen_table, wanted)
    own_sets, own_teachers = cell.mapped(dataset, "--dataset"), _teachers(teacher)
    mine = cell.Mine(own_sets, own_teachers, parse_sets(sets), plugins=plugins, prefer=prefer, **said)
    registry = options.loaded(plugins, prefer)
    readings = reading or tuple(chosen_table.file.readings)
    compute.own_process(share_of_threads(threads, workers))
    _, engine = engine_of("local", registry, workers=workers)
    trials = cell.trials(chosen_table, cells, readings, scale, mine, registry)
    title, folder = f"{chosen_table.name}: {chosen_table.file.title}", records.CellFolder(out)
    observer = observer_for(terminal.errors(), quiet)
    host = Host(registry, Store(store or default_store(), observer.note), observer)
    if dry_run:
        forecast.show(console, title, trials, forecast.forecasts(trials, chosen_table, folder, host))
        return
    for device in {trial.experiment.device for trial in trials}:
        engine.check(device)
    with observer:
        outcome = measure.measure(trials, folder, host, title, shareable(sys.argv[1:]), engine)
    show.show(console, title, outcome.records)
    if chosen_table.file.note:
        console.print(f"  {chosen_table.file.note}", markup=False, highlight=False)
    _told(outcome)


def _told(outcome: Any) -> None:
    """What kept cells from being measured, as the error it is."""
    if outcome.failed:
        raise RunError(f"{len(outcome.failed)} cells failed, the others are kept: {'; '.join(outcome.failed)}")
    if outcome.missing:
        reasons = "; ".join(f"{reason} ({count} cells)" for reason, count in outcome.missing.items())
        raise InputError(f"not all cells could be run: {reasons}")


def _teachers(given: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """``cifar10=FILE`` under its dataset, a plain teacher under the empty name."""
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, equals, teacher = text.partition("=")
        name, teacher = (name, teacher) if equals and "/" not in name else ("", text)
        found[name] = (*found.get(name, ()), teacher)
    return found


def shareable(arguments: Sequence[str]) -> str:
    """The command as it was typed, absolute paths by their last part alone: records go to others, who have other folders."""
    return shlex.join(["delt-host", *(re.sub(r"(?<![^=:,])/([^=:,]*/)?", "", text.rstrip("/")) for text in arguments)])


def _list() -> None:
    from rich.markup import escape
    from rich.table import Table

    from delt_plugins.reproduce.table import SHIPPED, load_table, shipped

    lines = Table()
    for heading in ("table", "what", "axes"):
        lines.add_column(heading, overflow="fold")
    lines.add_column("cells", justify="right")
    lines.add_column("published", justify="right")
    for name in shipped():
        table = load_table(name)
        cited = sum(cell.published is not None for cell in table.cells)
        what = (name, table.file.title, ", ".join(table.file.axes), str(len(table.cells)), str(cited))
        lines.add_row(*map(escape, what))
    terminal.out().print(lines)
    terminal.say(f"The files: {SHIPPED}; a copy that you edit is run by its path: delt-host reproduce MY.toml")
