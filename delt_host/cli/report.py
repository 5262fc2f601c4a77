"""``delt-host report``: the tables of finished runs for a paper or a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--format", "form", type=click.Choice(["markdown", "latex", "csv"]), default="markdown", show_default=True
)
def command(runs: tuple[Path, ...], form: Any) -> None:
    """Print the table of RUN, or of several joined, in another format."""
    from delt_host.report.formats import render

    click.echo(render(runs, form), nl=False)
