"""A dry run as a table: the steps of a run, which are kept, the work, and an estimate of time and bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.basics.file_words import short_name
from delt_host.basics.units import duration, size
from delt_host.experiment.experiment import Experiment
from delt_host.stages.estimate import Upcoming


def show(
    console: Console,
    experiment: Experiment,
    lines: Sequence[Upcoming],
    untold: Mapping[str, str],
    advice: Sequence[str] = (),
) -> None:
    """Print the dry run; `untold` has the rows that will fail, `advice` whole sentences."""
    table = Table(title="dry run: nothing is computed", title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("store", no_wrap=True)
    for heading in ("work", "estimate", "bytes"):
        table.add_column(heading, no_wrap=True, justify="right")
    for line in lines:
        estimate = duration(line.seconds) if line.seconds else ""
        kept = size(line.bytes) if line.bytes else ""
        table.add_row(line.stage, escape(short_name(line.what)), line.state, line.work, estimate, kept)
    console.print(table)
    say = partial(console.print, highlight=False, markup=False)
    if experiment.match is not None:
        say(f"  Before --match {experiment.match}, which is done once the teacher is there.")
    for label, why in untold.items():
        say(f"  {label} will fail: {why}")
    if all(line.done for line in lines) and not untold:
        say("  Nothing is left: the result of every step is in the store.")
        return
    left, kept = duration(sum(line.seconds for line in lines)), size(sum(line.bytes for line in lines))
    say(
        f"  About {left} of work left on {experiment.device} in {experiment.precision}, about {kept} kept "
        "in the store; the estimate is from passes timed just now."
    )
    if not all(line.known for line in lines):
        say(
            "  What is kept of steps that are unknown depends on a teacher that is not there yet: they count as missing."
        )
    for sentence in advice:
        say(f"  {sentence}")
