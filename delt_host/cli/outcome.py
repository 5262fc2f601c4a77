"""What a run or an evaluation tells when it is over, well or not: the table first, whatever else goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from delt_host.cli import terminal
from delt_host.cli.options import shown
from delt_host.errors import RunError

if TYPE_CHECKING:
    from rich.console import Console

    from delt_host.results import Results


def tell(console: Console, as_json: bool, path: Path, results: Results) -> None:
    """Print the table, or the results for programs, and write the page beside them; one that fails is a note."""
    from delt_host.report import page, table

    terminal.results_lie_in(shown(path))
    if as_json:
        terminal.say(json.dumps({"folder": str(path), **results.table()}, indent=1))
    else:
        table.show(console, results)
        what = "Results, images and the recipe that repeats this run" if results.made_by == "run" else "Results"
        console.print(f"  {what}: {shown(path)}", highlight=False, soft_wrap=True, markup=False)
    try:
        page.write_page(path)
    except Exception as error:  # the results are there, whatever a drawing library says
        said = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
        again = f"delt-host report {shown(path)} --format html --out FILE"
        terminal.complain(f"note: there is no report.html: {said}; {again} tries again")
        return
    if not as_json:
        where = shown(path / "report.html")
        console.print(f"  The report, for a browser: {where}", highlight=False, soft_wrap=True, markup=False)


@contextmanager
def told_anyway(console: Console, as_json: bool, results: Results) -> Iterator[None]:
    """Print the table, or the results for programs, although they could not be written."""
    from delt_host.report import table

    try:
        yield
    except Exception:
        if as_json:
            terminal.say(json.dumps(results.table(), indent=1))
        else:
            table.show(console, results)
        raise


@contextmanager
def finished_so_far(console: Console, as_json: bool, results: Callable[[], Results | None]) -> Iterator[None]:
    """Print the table of what is finished when the block is interrupted or fails. It is not written: results are of a whole
    run. `results` is None where nothing is finished.
    """
    from delt_host.report import table

    try:
        yield
    except BaseException:
        with suppress(Exception):  # what went wrong is what counts
            if not as_json and (found := results()) is not None:
                terminal.complain("finished so far:")
                table.show(console, found)
        raise
