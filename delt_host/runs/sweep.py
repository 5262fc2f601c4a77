"""The folder of a sweep: its recipe, what its runs are, and each run in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import tomli_w

from delt_host.basics.errors import InputError, RunError, writing_to
from delt_host.compare.lines import Point
from delt_host.contracts.results import Results, read_results
from delt_host.contracts.sweep import SWEEP_FILE, SWEEP_RECIPE, PointRecord, Sweep, read_sweep
from delt_host.experiment.request import Request
from delt_host.experiment.sweep import Planned, recipe_table
from delt_host.runs import place
from delt_host.store import files


class Outcome(NamedTuple):
    """What became of one run of a sweep."""

    planned: Planned
    results: Results | None
    failure: str
    """Why there are no results; with results, which of its rows failed."""


def run_each(
    planned: Sequence[Planned], folder: Path, run_one: Callable[[Planned, Path], Results]
) -> Iterator[Outcome]:
    """Have each run into its folder, one after the other; what fails costs that run alone."""
    for each in planned:
        try:
            results = run_one(each, folder / each.name)
        except (InputError, RunError) as error:
            yield Outcome(each, None, str(error))
        else:
            failed = sorted({score.row for score in results.scores if score.failure})
            yield Outcome(each, results, f"failed: {', '.join(failed)}" if failed else "")


def finished(folder: Path) -> dict[str, Point]:
    """The runs of a sweep's folder that are finished, by their folders' names.

    InputError where it is no sweep's, or a file of it cannot be read.
    """
    sweep = read_sweep(folder)
    if sweep is None:
        raise InputError(f"{folder} is not the folder of a sweep: it has no {SWEEP_FILE}")
    there = [point for point in sweep.points if (folder / point.folder / place.RESULTS).is_file()]
    return {point.folder: Point(point.varied, read_results(folder / point.folder)) for point in there}


@contextmanager
def taken(
    folder: Path, request: Request, planned: Sequence[Planned], force: bool = False, store: Path | None = None
) -> Iterator[None]:
    """The folder for this sweep, and for this process alone, as long as the block lasts; its recipe is there.

    It is made, or is empty, or holds a sweep all of whose runs are among these; `force` first removes those that are not.
    InputError for anything else, and where the folder cannot be written or another process writes into it.
    """
    place.check_place(folder, store)
    new = not folder.exists()
    with writing_to(folder):
        files.make_folders(folder)
    with place.locked(folder):
        sweep = Sweep(points=tuple(PointRecord(folder=each.name, varied=each.varied) for each in planned))
        former = read_sweep(folder)
        try:
            lost = [point for point in former.points if point not in sweep.points] if former else []
            if former is None and (reason := place.not_empty(folder, store)):
                raise InputError(f"{folder} {reason}; choose another folder with --out")
            if lost and not force:
                raise InputError(
                    f"{folder} is of another sweep: it has {lost[0].folder}, and this one has not; choose another folder "
                    "with --out, or remove what this one has not with --force"
                )
            with writing_to(folder):
                for point in lost:
                    place.remove_run(folder / point.folder)
                    with suppress(OSError):  # it was never begun, or has something else in it
                        (folder / point.folder).rmdir()
                files.write(folder / SWEEP_RECIPE, tomli_w.dumps(recipe_table(request)))
                sweep.write(folder)
            yield
        finally:
            if new:
                with suppress(OSError):  # what could not even be begun
                    folder.rmdir()
