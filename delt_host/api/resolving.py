"""``--resolve POINTS --budget TIME``: a pilot, one decision on how many sets and students there are, and the rest.

Everything that the decision goes by is in the store: scores, and the seconds that each step took when it was made. So it is
the same after a kill, and where all of the pilot was there before.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from delt_host.basics.durations import written
from delt_host.basics.errors import InputError
from delt_host.basics.units import decimals, roughly
from delt_host.compare.power import Wanted, costs, wanted
from delt_host.contracts.engine import Engine
from delt_host.contracts.results import Results, read_results
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import MOST_SEEDS
from delt_host.experiment.sets import PILOT_SETS
from delt_host.spread.workers import Workers
from delt_host.stages.story import Comparison
from delt_host.store.entry import Name


def said_before(experiment: Experiment, path: Path) -> str:
    """What is said before the first round of a run in a folder; empty where nothing is."""
    return pilot_said(experiment) if experiment.undecided else _looked(path, experiment)


def pilot_said(experiment: Experiment) -> str:
    """`pilot: 3 sets of 2 students`."""
    teachers = f" ({PILOT_SETS} of each seed of teachers)" if experiment.teacher_seeds > 1 else ""
    return f"pilot: {len(experiment.seeds)} sets of {_of(experiment.students)}{teachers}"


def foreseen(experiment: Experiment) -> str:
    """A sentence for a dry run, whose steps are the pilot's."""
    within = "" if experiment.budget is None else f", within {written(experiment.budget)} in all"
    goal = "" if experiment.resolve is None else f" to ± {experiment.resolve:g}"
    return (
        f"This is the {pilot_said(experiment)}; by it the run decides how many sets and students tell its differences"
        f"{goal}{within}."
    )


def decided(comparison: Comparison, pilot: Results, engine: Engine) -> Experiment:
    """The experiment with as many sets and students as it takes, or as its budget allows; said to whoever listens.

    RunError where the pilot cannot tell, as where each of its rows failed.
    """
    experiment, workers = comparison.experiment, workers_of(engine)
    points = experiment.resolve or 0.0  # as many as fit
    needed = found = wanted(pilot, points, pilot=PILOT_SETS, workers=workers)
    if experiment.budget is not None:
        left = max(experiment.budget - spent(comparison, workers), 0.0)
        found = wanted(pilot, points, pilot=PILOT_SETS, seconds=left, workers=workers)
    comparison.host.observer.note(_said(experiment, needed, found, pilot, workers))
    return replace(experiment, seeds=tuple(range(found.sets)), students=found.students, pilot=PILOT_SETS)


def spent(comparison: Comparison, workers: int = 1) -> float:
    """Seconds that everything took which a run consists of and that is kept: squeezing on one machine, the rest shared out."""
    seen, alone, shared = set[Name](), 0.0, 0.0
    for step in comparison.steps():
        if step.name in seen:
            continue
        seen.add(step.name)
        took = step.seconds or 0.0
        alone, shared = (alone + took, shared) if step.stage == "squeeze" else (alone, shared + took)
    return alone + shared / workers


def workers_of(engine: Engine) -> int:
    """How many pieces are done side by side, as far as that is known."""
    return engine.count if isinstance(engine, Workers) else 1


def _looked(path: Path, experiment: Experiment) -> str:
    """A sentence where sets or students come to results that were decided on and seen; empty where none do."""
    try:
        former = read_results(path)
    except InputError:
        return ""
    seeds, students = former.recipe.get("seeds") or (), former.recipe.get("students") or 1
    if not former.pilot or (len(experiment.seeds) <= len(seeds) and experiment.students <= students):
        return ""
    return (
        "this run decided how many sets and students it has before anybody saw its results; with more of them, asked for once "
        "these are there, its 95 % intervals are no longer exact"
    )


def _said(experiment: Experiment, needed: Wanted, found: Wanted, pilot: Results, workers: int) -> str:
    digits = decimals(pilot.evaluators[0].unit)
    expected = "" if math.isnan(found.resolution) else f"± {found.resolution:.{digits}f} expected"
    ends = found.sets <= len(experiment.seeds) and found.students <= experiment.students
    left = _seconds_left(experiment, found, pilot)
    time = "" if left is None else roughly(left / workers)
    wants, teachers = experiment.resolve is not None, experiment.teacher_seeds
    short = wants and not math.isnan(found.resolution) and found.resolution > (experiment.resolve or 0) * 1.05
    if wants and (found.sets, found.students) != (needed.sets, needed.students):
        said = f"the budget allows {found.sets:,} of {needed.sets:,} sets, {_of(found.students)} each"
    elif wants and (needed.sets + teachers) * needed.students > MOST_SEEDS:
        said = f"decided: {found.sets:,} sets of {_of(found.students)}, as many as a run may have"
    else:
        said = f"decided: {found.sets:,} sets of {_of(found.students)}"
    if short and teachers > 1:
        expected += f", which {teachers} seeds of teachers leave"
    return ", ".join(filter(None, (said, expected, "the run ends with its pilot" if ends else time)))


def _of(students: int) -> str:
    return f"{students:,} student{'s' * (students != 1)}"


def _seconds_left(experiment: Experiment, found: Wanted, pilot: Results) -> float | None:
    """Of what is still to be made, at the pilot's pace; None where nobody knows it."""
    cost = costs(pilot)
    if cost is None:
        return None
    sets, students = len(experiment.seeds), experiment.students
    return cost.set * (found.sets - sets) + cost.student * (found.sets * found.students - sets * students)
