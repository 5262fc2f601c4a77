"""``delt-host report``: the tables of finished runs for a paper or a program, or all of them as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from delt_host.workshop import check_new, options, terminal, writing_to


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=options.Place(), metavar="RUN...")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "latex", "csv", "json", "html"]),
    default="markdown",
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", type=options.Place(), metavar="FILE", help="Write to FILE, a new one, instead of printing.")
@click.option("--force", is_flag=True, help="Write over FILE.")
def command(runs: tuple[Path, ...], form: Any, as_json: bool, out: Path | None, force: bool) -> None:
    """Print the table of a run in another format.

    Of several RUNs joined; html is a page with figures and images.
    """
    if out is not None and not force:
        check_new(out, "--out, or write over it with --force")
    if form == "html" and not as_json:
        from delt_plugins.report.page import render_page

        text = render_page(runs)
    else:
        from delt_plugins.report.formats import render

        text = render(runs, "json" if as_json else form)
    content = text.encode("utf-8", "replace")  # file systems allow names that are no text
    if out is None:
        terminal.say(content)
        return
    from delt_host.workshop import files

    with writing_to(out):
        files.write(out, content)
