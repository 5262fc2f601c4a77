"""How many sets and students there are: as they were said, as a pilot has decided, or a pilot's that is to decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from delt_host.basics import durations
from delt_host.basics.errors import InputError
from delt_host.basics.settings import shown
from delt_host.experiment.request import Request, check_student_count, parse_seeds

PILOT_SETS, PILOT_STUDENTS = 3, 2
"""Of each seed of teachers, and of each set, with which nobody knows yet how many it takes."""


class Sets(NamedTuple):
    """What an experiment says of them; its fields of these names explain them."""

    seeds: tuple[int, ...]
    students: int
    resolve: float | None = None
    budget: float | None = None
    pilot: int = 0


def sets_of(request: Request) -> Sets:
    """InputError for numbers that cannot be, or that are said where a pilot is to decide."""
    resolve, teachers = request.resolve, max(request.teacher_seeds or 1, 1)
    budget = None if request.budget is None else durations.seconds(request.budget, "--budget")
    if resolve is not None and not 0 < resolve < math.inf:
        raise InputError(f"--resolve must be a number above 0, in the evaluator's unit, not {shown(resolve)}")
    if request.pilot is None and (resolve is not None or budget is not None):
        option = "--budget" if resolve is None else "--resolve"
        if request.seeds is not None:
            raise InputError(f"{option} decides how many sets there are: leave out either it or --seeds")
        seeds = parse_seeds(PILOT_SETS * teachers)
        said = PILOT_STUDENTS if request.students is None else request.students
        return Sets(seeds, max(check_student_count(said, seeds), PILOT_STUDENTS), resolve, budget)
    seeds = parse_seeds(request.seeds)
    students = check_student_count(1 if request.students is None else request.students, seeds)
    if request.pilot is None:
        return Sets(seeds, students)
    if resolve is None and budget is None:
        raise InputError("pilot says how a run with --resolve or --budget has decided, and this recipe has neither")
    if not 1 <= request.pilot * teachers <= len(seeds):
        raise InputError(
            f"this recipe's first {shown(request.pilot * teachers)} sets decided how many there are: --seeds must be as many "
            "or more, or give --resolve or --budget to decide anew"
        )
    return Sets(seeds, students, resolve, budget, request.pilot)


def check_comparable(rows: Sequence[str]) -> None:
    """InputError where there is no difference that could be told."""
    if len(rows) < 2:
        raise InputError(f"--resolve and --budget go by differences between rows, and there is {rows[0]} alone")
