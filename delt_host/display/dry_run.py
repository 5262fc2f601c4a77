"""A dry run as a table: the steps of a run, which are kept, the work, and an estimate of time, bytes and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.basics.file_words import short_name
from delt_host.basics.units import duration, size
from delt_host.experiment.experiment import Experiment
from delt_host.stages.estimate import Upcoming

NARROW = 100
"""Columns of a terminal that has no room for the work beside whole labels: time and bytes tell more."""


class Totals(NamedTuple):
    """Of the run."""

    seconds: float
    store_bytes: int
    folder_bytes: int
    peak_bytes: int
    largest: Upcoming | None


def show(
    console: Console,
    experiment: Experiment,
    lines: Sequence[Upcoming],
    untold: Mapping[str, str],
    totals: Totals,
    advice: Sequence[str] = (),
    unread: str = "",
) -> None:
    """Print the dry run; `untold` has the rows that will fail, `advice` whole sentences, `unread` why images are not known."""
    table = Table(title="dry run: nothing is computed", title_justify="left")
    wide = console.width >= NARROW
    table.add_column("stage", no_wrap=True)
    table.add_column("what", overflow="fold", min_width=20)
    table.add_column("store", no_wrap=True)
    for heading in ("work", "estimate", "bytes") if wide else ("time", "bytes"):
        table.add_column(heading, no_wrap=True, justify="right")
    for line in lines:
        estimate = duration(line.seconds) if line.seconds else ""
        kept = size(line.bytes) if line.bytes else ""
        work = [line.work] if wide else []
        table.add_row(line.stage, escape(_shown(line.what)), line.state, *work, estimate, kept)
    console.print(table)
    say = partial(console.print, highlight=False, markup=False)
    if unread:
        say(f"  {unread}")
    if experiment.match is not None:
        say(f"  Before --match {experiment.match}, which is done once the teacher is there.")
    for label, why in untold.items():
        say(f"  {label} will fail: {why}")
    if all(line.done for line in lines) and not untold:
        say("  Nothing is left: the result of every step is in the store.")
        return
    store, folder = size(totals.store_bytes), size(totals.folder_bytes)
    say(
        f"  About {duration(totals.seconds)} of work left on {experiment.device} in {experiment.precision}, as passes of its "
        f"networks tell that were timed just now; about {store} kept in the store and {folder} in the run's folder."
    )
    if totals.largest is not None:
        where = "of memory" if experiment.device == "cpu" else f"of the memory of {experiment.device}"
        what = f"{totals.largest.stage} {_shown(totals.largest.what)}"
        say(f"  About {size(totals.peak_bytes)} {where} at most, in {what}.")
    if not unread and not all(line.known for line in lines):
        say(
            "  What is kept of steps that are unknown depends on a teacher that is not there yet: they count as missing."
        )
    for sentence in advice:
        say(f"  {sentence}")


def _shown(what: str) -> str:
    """A step's line, each name in it without the path of its file."""
    return ", ".join(map(short_name, what.split(", ")))
