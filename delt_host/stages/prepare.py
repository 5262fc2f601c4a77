"""What a component prepares for its stage: rankings, statistics, trained references. Rows and seeds share what is equal."""

from __future__ import annotations

from functools import partial
from typing import Any

from delt_host.component import Component
from delt_host.errors import RunError
from delt_host.experiment import Named
from delt_host.host import Host
from delt_host.prepared import Prepared
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.step import Made, Step


def preparations(course: Course, kind: str, named: Named[Any], problem: Problem | None = None) -> tuple[Step, ...]:
    """The steps that come before a component's own, and that this needs; those of the components among its options, too.
    `problem` is the regime's and student's, if any."""
    preparing = [
        each
        for each in (named.component, *named.component.parts.values())
        if type(each).prepares is not Component.prepares
    ]
    if not preparing:
        return ()
    problem = (problem or course.problem).seen_by(named.component)
    with course.host.running(kind, named):
        declared = [what for each in preparing for what in each.prepares(problem)]
        return tuple(_step(course, kind, named, problem, each) for each in declared)


def _step(course: Course, kind: str, named: Named[Component], problem: Problem, what: Prepared) -> Step:
    inputs = problem.prepared_inputs(what)
    of = f"{what.name}, seed {problem.seed}" if "seed" in what.inputs else what.name
    of += f", student {problem.student}" if what.inputs.get("student") else ""
    key = course.host.store.key("prepare", inputs)
    return Step(
        "prepare",
        what.name,
        of,
        inputs,
        key,
        partial(_make, course.host, kind, named, what, key),
        known=problem.settled,
        total=what.total or round(sum(passes.images for passes in what.cost)),
        unit=what.unit,
        cost=what.cost,
        like=what.name,
        travels=kind == "evaluator",  # what images are made from is made here, and sent to whoever needs it
        place=course.place,
    )


def _make(host: Host, kind: str, named: Named[Component], what: Prepared, key: str, checkpoint: Checkpoint) -> Made:
    try:
        with host.running(kind, named):
            return what.made(checkpoint), {}
    except RunError as error:
        host.store.failed["prepare", key] = str(error)  # for every row and seed that would try it again
        raise
