"""``delt-host report``: the tables of finished runs for a paper or a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--format", "form", type=click.Choice(["markdown", "latex", "csv", "json"]), default="markdown", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(runs: tuple[Path, ...], form: Any, as_json: bool) -> None:
    """Print the table of RUN, or of several joined, in another format."""
    from delt_host.report.formats import render

    click.echo(render(runs, "json" if as_json else form), nl=False)
