"""``delt-host results``: finished cells of the paper's tables, printed, and merged from several machines."""

from __future__ import annotations

import json
from pathlib import Path

import click

from delt_host import InputError
from delt_host.workshop import terminal, unknown, writing_to


@click.group("results")
def command() -> None:
    """Print and merge what `delt-host reproduce` has left."""


@command.command("show")
@click.argument("folder", required=False, default="results", type=click.Path(path_type=Path))
@click.option("--table", "tables", multiple=True, metavar="NAME", help="Of these tables alone.")
@click.option("--markdown", "as_markdown", is_flag=True, help="For a page.")
@click.option("--json", "as_json", is_flag=True, help="For programs: all that is kept of every cell.")
def show(folder: Path, tables: tuple[str, ...], as_markdown: bool, as_json: bool) -> None:
    """Print the finished cells in FOLDER (default results), a table for each table and scale."""
    from delt_plugins.reproduce import records, show

    found = records.CellFolder(folder).records()
    names = list(dict.fromkeys(record.table for record in found))
    for name in tables:
        if name not in names:
            raise unknown(f"table in {folder}", name, names)
    found = [record for record in found if not tables or record.table in tables]
    if as_json:
        terminal.say(json.dumps([record.model_dump(mode="json") for record in found], indent=1))
        return
    if not found:
        terminal.say(f"no finished cells in {folder}")
    for group in dict.fromkeys((record.table, record.scale) for record in found):
        chosen = [record for record in found if (record.table, record.scale) == group]
        if as_markdown:
            terminal.say(show.markdown(chosen[0].title, chosen))
        else:
            show.show(terminal.out(), chosen[0].title, chosen)


@command.command("merge")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where the merged cells go; it may be one of FOLDERS."
)
@click.option("--prefer", type=click.Path(path_type=Path), help="Whose value holds where FOLDERS have different ones.")
def merge(folders: tuple[Path, ...], out: Path, prefer: Path | None) -> None:
    """Join the cells of FOLDERS, from several machines, with the seeds of all.

    Different values for the same seed of the same cell are named, and then nothing is written unless --prefer says whose hold.
    """
    from delt_plugins.reproduce import records

    if prefer is not None and prefer not in folders:
        raise InputError(f"--prefer {prefer} is none of the folders: {', '.join(map(str, folders))}")
    if out not in folders and out.is_dir():
        folders = (*folders, out)  # what is there already is kept
    merged, conflicts = records.merge([records.CellFolder(folder) for folder in folders], prefer)
    for conflict in conflicts:
        terminal.complain(f"conflict: {conflict}")
    if conflicts:
        raise InputError(
            f"{len(conflicts)} seeds have different values, so nothing was written; "
            f"say whose hold with --prefer {folders[0]}, or remove one"
        )
    for record in merged:
        with writing_to(out):
            records.CellFolder(out).write(record)
        for several in records.mixed(record):
            terminal.complain(f"note: {record.name}: its seeds have {several}")
    seeds = sum(len(record.seeds) for record in merged)
    terminal.say(f"{len(merged)} cells with {seeds} seeds from {len(folders)} folders are in {out}")
