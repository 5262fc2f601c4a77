"""``delt-host report``: the tables of finished runs for a paper or a program, or all of them as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from delt_host.cli import terminal
from delt_host.errors import RunError


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex", "csv", "json", "html"]),
    default="markdown",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead of printing.")
def command(runs: tuple[Path, ...], form: Any, as_json: bool, out: Path | None) -> None:
    """Print the table of RUN, or of several joined, in another format; html is a page with figures and images."""
    if form == "html" and not as_json:
        from delt_host.report.page import render_page

        text = render_page(runs)
    else:
        from delt_host.report.formats import render

        text = render(runs, "json" if as_json else form)
    content = text.encode("utf-8", "replace")  # file systems allow names that are no text
    if out is None:
        terminal.say(content)
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        raise RunError(f"{out} cannot be written: {error.strerror or error}") from None
