"""``delt-host plugins``: what is installed, from where, and what is not in use and why; ``plugins new``: a package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from delt_host.workshop import options, terminal


@click.group("plugins", invoke_without_command=True)
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, plugins: tuple[str, ...], prefer: tuple[str, ...], as_json: bool) -> None:
    """List plugins, what each provides, and what is broken.

    With their distributions and versions; `plugins new` writes another.
    """
    if ctx.invoked_subcommand is None:
        _list(as_json, plugins, prefer)


@command.command("new")
@click.argument("name")
@click.option("--kind", required=True, help="initializer, scheduler, matcher, relabeler, evaluator, method or dataset.")
@click.option(
    "--to", "folder", type=click.Path(path_type=Path), default=Path(), help="Where the package's folder goes."
)
def new(name: str, kind: str, folder: Path) -> None:
    """Write NAME, an installable package with a plugin of a kind and tests that pass."""
    from delt_plugins.desk.scaffold import write_package

    for file in write_package(name, kind, folder):
        terminal.say(f"wrote {file}")
    terminal.say(f"next: cd {folder / name} && pytest && pip install -e .")


def _list(as_json: bool, chosen: tuple[str, ...], prefer: tuple[str, ...]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from delt_host.workshop import catalogue

    found = catalogue(chosen, prefer)
    plugins = found["plugins"]
    if as_json:
        terminal.say(json.dumps(plugins, indent=1))
        return
    table = Table()
    for heading in ("plugin", "distribution", "version", "provides"):
        table.add_column(heading, overflow="fold")
    for plugin in plugins:
        given = [f"{kind}: {', '.join(names)}" for kind, names in plugin["provides"].items()]
        given += [f"clashes: {kind} {', '.join(names)}" for kind, names in plugin["clashes"].items()]
        text = "; ".join(given)
        table.add_row(
            *map(escape, (plugin["name"], plugin["distribution"], plugin["version"], plugin["problem"] or text))
        )
    terminal.out().print(table)
    for trace in (plugin["trace"] for plugin in plugins if plugin["trace"] and "--debug" in sys.argv):
        terminal.complain(trace)
    for note in found["notes"]:
        terminal.complain(f"note: {note}")
