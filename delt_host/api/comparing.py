"""A run or an evaluation to its end: everything measured and written, and what is finished handed over if it ends early."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace

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
Decide = Callable[[Comparison, Results], Comparison]
"""Takes a run with its pilot's results, and gives it with as many sets and students as these call for."""
Partly = Callable[[Results, bool], None]
"""Takes the results as far as there are some, and whether they are whole and could only not be written."""


def compared(
    begin: Callable[[], Comparison],
    made: Made,
    write: Write,
    observing: AbstractContextManager[Observer],
    made_by: MadeBy,
    partly: Partly,
    decide: Decide | None = None,
) -> tuple[Comparison, Results]:
    """Measure everything of what `begin` prepares, and have it written.

    A run that has not decided how many sets there are does its pilot first; what comes after finds that in the store.
    Interrupted, or where it fails, `partly` gets what is finished. It is not written: results are of a whole run.
    """
    measured = _Measured()
    try:
        with observing as observer:
            comparison = begin()
            if comparison.experiment.undecided and decide is not None:
                measured.all_of(comparison, observer)
                pilot = folder.results_of(comparison, measured.found, made_by, whole=False)
                comparison = decide(comparison, pilot)
            measured.all_of(comparison, observer, made)
            results = folder.results_of(comparison, measured.found, made_by)
    except BaseException:
        with suppress(Exception):  # what went wrong is what counts
            if measured.found:
                partly(folder.results_of(comparison, measured.found, made_by, whole=False), False)
        raise
    try:
        return comparison, write(results)
    except BaseException:
        partly(results, True)
        raise


@dataclass
class _Measured:
    """What was measured of a run so far."""

    found: list[Measurement] = field(default_factory=list)
    _told: set[tuple[object, ...]] = field(default_factory=set)
    """The scores that the observer has heard of."""

    def all_of(self, comparison: Comparison, observer: Observer, made: Made = lambda _course: None) -> None:
        """Every step of a round; what was measured in a round before is measured again, and told once."""
        self.found.clear()
        for measurement in story.run(comparison, made):
            score = measurement.score
            if (which := folder.which(score)) not in self._told:
                self._told.add(which)
                observer.scored(score, measurement.distilled)
            self.found.append(replace(measurement, distilled=None))  # nothing grows with rows and seeds
