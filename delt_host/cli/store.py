"""``delt-host store``: what finished stages take, whether they are whole, and how to make room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from delt_host.cli import terminal
from delt_host.errors import InputError, RunError

PLACE = click.option("--store", type=click.Path(path_type=Path), help="Another store than $DELT_HOST_STORE.")


@click.group("store", invoke_without_command=True)
@PLACE
@click.option("--json", "as_json", is_flag=True, help="Every entry, for programs.")
@click.pass_context
def command(ctx: click.Context, store: Path | None, as_json: bool) -> None:
    """List what the store holds, by stage."""
    if ctx.invoked_subcommand is None:
        _list(_place(store), as_json)


@command.command("verify")
@PLACE
@click.option(
    "--remove", "and_remove", is_flag=True, help="Remove damaged entries now; a run does so when it meets one."
)
def verify(store: Path | None, and_remove: bool) -> None:
    """Check every file against its checksum, and name what is damaged."""
    from delt_host import housekeeping

    root, count = _place(store), 0
    for item, wrong in housekeeping.damaged(root):
        count += 1
        terminal.say(f"{item.path}: {wrong}" + (", removed" if and_remove else ""))
        if and_remove:
            housekeeping.remove(item)
    whole = sum(item.path.is_dir() and item.stage != "left over" for item in housekeeping.items(root))
    terminal.say(f"{whole} entries in {root} are whole" if not count or and_remove else f"{count} of {whole} damaged")
    if count and not and_remove:
        raise RunError(f"{count} damaged; a run makes them anew, or remove them with: delt-host store verify --remove")


@command.command("prune")
@PLACE
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so long.")
@click.option("--stage", multiple=True, metavar="NAME", help="Of these stages alone; several may be given.")
@click.option("--dry-run", is_flag=True, help="Say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def prune(store: Path | None, older_than: float | None, stage: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove entries, and in any case what killed processes left a day ago or earlier."""
    from delt_host import housekeeping
    from delt_host.errors import unknown
    from delt_host.units import size

    root = _place(store)
    there = list(housekeeping.items(root))
    for name in stage:
        if name not in (known := sorted({item.stage for item in there})):
            raise unknown("stage", name, known)
    wanted = [
        item
        for item in there
        if (item.stage == "left over" and item.days > 1)
        or ((older_than is not None or stage) and (not stage or item.stage in stage) and item.days >= (older_than or 0))
    ]
    total = size(sum(item.size_bytes for item in wanted))
    if not wanted:
        terminal.say("nothing to remove; say what with --older-than DAYS or --stage NAME")
        return
    terminal.say(f"{len(wanted)} of {len(there)} entries, {total}, from {root}")
    if dry_run or not (yes or click.confirm("remove them?")):
        return
    for item in wanted:
        housekeeping.remove(item)
    terminal.say(f"removed {total}")


def _place(given: Path | None) -> Path:
    from delt_host.entry import default_store

    root = given or default_store()
    if not root.is_dir():
        raise InputError(f"there is no store at {root}; a run makes one")
    return root


def _list(root: Path, as_json: bool) -> None:
    from rich.table import Table

    from delt_host import housekeeping
    from delt_host.units import size

    there = list(housekeeping.items(root))
    if as_json:
        rows = [
            {
                "stage": item.stage,
                "path": str(item.path),
                "bytes": item.size_bytes,
                "days_unused": round(item.days, 3),
                "about": housekeeping.about(item),
            }
            for item in there
        ]
        terminal.say(json.dumps(rows, indent=1))
        return
    groups: dict[str, list[Any]] = {}
    for item in there:
        groups.setdefault(item.stage, []).append(item)
    table = Table(title=str(root), title_justify="left")
    table.add_column("stage")
    for heading in ("entries", "size", "last used"):
        table.add_column(heading, justify="right")
    for stage, found in groups.items():
        days = min(item.days for item in found)
        used = "today" if days < 1 else f"{days:.0f} days ago"
        table.add_row(stage, str(len(found)), size(sum(item.size_bytes for item in found)), used)
    table.add_section()
    table.add_row("all", str(len(there)), size(sum(item.size_bytes for item in there)), "")
    terminal.out().print(table)
