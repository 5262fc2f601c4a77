"""``delt-host store``: what finished stages take, whether they are whole, and how to make room."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from delt_host import InputError, RunError
from delt_host.workshop import terminal

PLACE = click.option("--store", type=click.Path(path_type=Path), help="Another store than $DELT_HOST_STORE.")


@click.group("store", invoke_without_command=True)
@PLACE
@click.option("--json", "as_json", is_flag=True, help="Every entry, for programs.")
@click.pass_context
def command(ctx: click.Context, store: Path | None, as_json: bool) -> None:
    """List what the store holds, by stage."""
    ctx.obj = store
    if ctx.invoked_subcommand is None:
        _list(_place(store), as_json)


@command.command("verify")
@PLACE
@click.option(
    "--remove", "and_remove", is_flag=True, help="Remove what is damaged now; a run does so when it meets it."
)
@click.pass_obj
def verify(before: Path | None, store: Path | None, and_remove: bool) -> None:
    """Check every file against its checksum, and name what is damaged and what cannot be read."""
    from delt_host.toolbox import Damaged
    from delt_plugins.desk import housekeeping

    root = _place(store or before)
    whole = damaged = unread = 0
    for item, wrong in housekeeping.checked(root):
        if wrong is None:
            whole += 1
        elif isinstance(wrong, Damaged):
            why = housekeeping.remove(item, root, if_damaged=True) if and_remove else "not removed"
            damaged += bool(why)
            removed = f"; it cannot be removed: {why}" if why else ", removed"
            terminal.say(f"{item.path} is damaged: {wrong}{removed if and_remove else ''}")
        else:
            unread += 1
            terminal.say(str(wrong))
    terminal.say(f"{whole} entries in {root} are whole")
    found = [f"{damaged} damaged"] * bool(damaged) + [f"{unread} cannot be read"] * bool(unread)
    if found:
        hint = "; a run makes them anew, or remove them with: delt-host store verify --remove" if damaged else ""
        raise RunError(f"{' and '.join(found)}{hint if not and_remove else ''}")


@command.command("prune")
@PLACE
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so long.")
@click.option("--stage", multiple=True, metavar="NAME", help="Of these stages alone; several may be given.")
@click.option("--dry-run", is_flag=True, help="Say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(
    before: Path | None, store: Path | None, older_than: float | None, stage: tuple[str, ...], dry_run: bool, yes: bool
) -> None:
    """Remove entries, and in any case locks that no process holds and what was left half written a day ago or earlier.

    A run that is using the store goes on: what it is at stays, and what it wants again it makes again.
    """
    from delt_host.workshop import size, unknown
    from delt_plugins.desk import housekeeping

    if older_than is not None and not math.isfinite(older_than):
        raise InputError(f"--older-than is a number of days, not {older_than}")
    root = _place(store or before)
    there = list(housekeeping.items(root))
    for name in stage:
        if name not in (known := sorted({item.stage for item in there})):
            raise unknown("stage", name, known)
    wanted = [item for item in there if _goes(item, older_than, stage)]
    total = size(sum(item.size_bytes for item in wanted))
    if not wanted:
        terminal.say("nothing to remove; say what with --older-than DAYS or --stage NAME")
        return
    terminal.say(f"{len(wanted)} of {len(there)} entries, {total}, from {root}")
    if dry_run or not (yes or click.confirm("remove them?")):
        return
    stay = {item: why for item in wanted if (why := housekeeping.remove(item, root))}
    terminal.say(f"removed {size(sum(item.size_bytes for item in wanted if item not in stay))}")
    for item, why in stay.items():
        if item.stage != housekeeping.LOCK or why != housekeeping.BUSY:
            terminal.say(f"{item.path} stays: {why}")
    if failed := sum(why != housekeeping.BUSY for why in stay.values()):
        raise RunError(f"{failed} could not be removed; whoever owns them can, or who owns the store")


def _goes(item: Any, older_than: float | None, stages: tuple[str, ...]) -> bool:
    from delt_plugins.desk import housekeeping

    if item.closed is not None:
        return False
    if item.stage == housekeeping.LEFT_OVER:  # anything younger may be written just now
        return bool(item.days > 1)
    if item.stage == housekeeping.LOCK:
        return True
    return (
        (older_than is not None or bool(stages))
        and (not stages or item.stage in stages)
        and item.days >= (older_than or 0)
    )


def _place(given: Path | None) -> Path:
    from delt_host.workshop import default_store, store_at, unread

    root = store_at(given) if given else default_store()
    try:
        if root.is_dir():
            return root
    except OSError as error:
        raise InputError(str(unread(root, error))) from None
    raise InputError(f"there is no store at {root}" + (", but a file" if root.exists() else "; a run makes one"))


def _list(root: Path, as_json: bool) -> None:
    from rich.table import Table

    from delt_host.workshop import size
    from delt_plugins.desk import housekeeping

    there = list(housekeeping.items(root))
    if as_json:
        rows = [
            {
                "stage": item.stage,
                "path": str(item.path),
                "bytes": item.size_bytes,
                "days_unused": round(item.days, 3),
                "about": item.about,
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
