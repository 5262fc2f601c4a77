"""A run or an evaluation to its end, and what it tells then, well or not: the table first, whatever else goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from delt_host.basics.errors import RunError
from delt_host.cli import reports, table, terminal
from delt_host.cli.options import shown_path
from delt_host.runs import folder
from delt_host.stages import story

if TYPE_CHECKING:
    from delt_host.contracts.observer import Observer
    from delt_host.contracts.results import Results
    from delt_host.plugins.registry import Registry
    from delt_host.runs.place import MadeBy
    from delt_host.stages.measurement import Measurement
    from delt_host.stages.story import Comparison

Write = Callable[["Comparison", "Sequence[Measurement]", "Results"], "Results"]


def carry_out(
    begin: Callable[[], Comparison],
    write: Write,
    observing: AbstractContextManager[Observer],
    path: Path,
    made_by: MadeBy,
    as_json: bool,
) -> Results:
    """Measure everything of what `begin` prepares, have it written into the folder `path`, and tell it.

    Interrupted, or where it fails, the table of what is finished is printed. It is not written: results are of a whole run.
    """
    measurements: list[Measurement] = []
    try:
        with observing as observer:
            comparison = begin()
            host = comparison.host
            experiment, problem = comparison.experiment, comparison.problem
            for measurement in story.run(comparison):
                observer.scored(measurement.score, measurement.distilled)
                measurements.append(measurement)
            results = folder.results_of(experiment, problem, measurements, host, made_by)
    except BaseException:
        with suppress(Exception):  # what went wrong is what counts
            if measurements and not as_json:
                found = folder.results_of(experiment, problem, measurements, host, made_by, whole=False)
                terminal.complain("finished so far:")
                table.show(terminal.out(), found)
        raise
    try:
        results = write(comparison, measurements, results)
    except Exception:
        if as_json:
            terminal.say(json.dumps(results.table(), indent=1))
        else:
            table.show(terminal.out(), results)
        raise
    tell(as_json, path, results, host.registry)
    return results


def check_whole(results: Results, path: Path) -> None:
    """RunError where a row failed."""
    if failed := sorted({score.row for score in results.scores if score.failure}):
        raise RunError(f"failed: {', '.join(failed)}; what did not fail is complete and in {path}")


def tell(as_json: bool, path: Path, results: Results, registry: Registry) -> None:
    """Print the table, or the results for programs, and have reports written beside them; one that fails is a note."""
    console = terminal.out()
    terminal.results_lie_in(shown_path(path))
    if as_json:
        terminal.say(json.dumps({"folder": str(path), **results.table()}, indent=1))
    else:
        table.show(console, results)
        what = "Results, images and the recipe that repeats this run" if results.made_by == "run" else "Results"
        console.print(f"  {what}: {shown_path(path)}", highlight=False, soft_wrap=True, markup=False)
    for said in reports.write(registry, path):
        if not as_json:
            console.print(f"  {said}", highlight=False, soft_wrap=True, markup=False)
