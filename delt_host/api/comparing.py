"""A run or an evaluation to its end: everything measured and written, and what is finished handed over if it ends early."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace

from delt_host.contracts.observer import Observer
from delt_host.contracts.results import Results
from delt_host.runs import folder
from delt_host.runs.place import MadeBy
from delt_host.stages import story
from delt_host.stages.course import Course
from delt_host.stages.measurement import Measurement
from delt_host.stages.story import Comparison

Made = Callable[[Course], None]
"""Is told when the set of a row and seed is there."""
Write = Callable[[Results], Results]
Partly = Callable[[Results, bool], None]
"""Takes the results as far as there are some, and whether they are whole and could only not be written."""


def compared(
    begin: Callable[[], Comparison],
    made: Made,
    write: Write,
    observing: AbstractContextManager[Observer],
    made_by: MadeBy,
    partly: Partly,
) -> tuple[Comparison, Results]:
    """Measure everything of what `begin` prepares, and have it written.

    Interrupted, or where it fails, `partly` gets what is finished. It is not written: results are of a whole run.
    """
    measurements: list[Measurement] = []
    try:
        with observing as observer:
            comparison = begin()
            host = comparison.host
            experiment, problem = comparison.experiment, comparison.problem
            for measurement in story.run(comparison, made):
                observer.scored(measurement.score, measurement.distilled)
                measurements.append(replace(measurement, distilled=None))  # nothing grows with rows and seeds
            results = folder.results_of(experiment, problem, measurements, host, made_by)
    except BaseException:
        with suppress(Exception):  # what went wrong is what counts
            if measurements:
                found = folder.results_of(experiment, problem, measurements, host, made_by, whole=False)
                partly(found, False)
        raise
    try:
        return comparison, write(results)
    except BaseException:
        partly(results, True)
        raise
