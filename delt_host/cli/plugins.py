"""``delt-host plugins``: what is installed, from where, and what is not in use and why."""

from __future__ import annotations

import json

import click


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """List installed plugins, their distribution and version, what each provides, and what is broken."""
    from rich.console import Console
    from rich.table import Table

    from delt_host.plugins import load_registry

    registry = load_registry()
    rows = []
    for plugin in registry.plugins:
        provides = {
            kind: names
            for kind, entries in registry.provided.items()
            if (names := sorted(name for name, entry in entries.items() if entry.plugin == plugin))
        }
        rows.append((plugin, provides))
    if as_json:
        click.echo(json.dumps([{**vars(plugin), "provides": provides} for plugin, provides in rows], indent=1))
        return
    table = Table()
    for heading in ("plugin", "distribution", "version", "provides"):
        table.add_column(heading, overflow="fold")
    for plugin, provides in rows:
        text = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in provides.items())
        table.add_row(plugin.name, plugin.distribution, plugin.version, plugin.problem or text)
    Console().print(table)
