"""What a component prepares for its stage: rankings, statistics, trained references. Rows and seeds share what is equal."""

from __future__ import annotations

from functools import partial
from typing import Any

from delt_host.basics.errors import RunError
from delt_host.contracts.prepared import Prepared
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem
from delt_host.experiment.experiment import Named
from delt_host.stages.course import Course
from delt_host.stages.step import Made, Step
from delt_host.store.resume import Checkpoint


def preparations(course: Course, kind: str, named: Named[Any], problem: Problem | None = None) -> tuple[Step, ...]:
    """The steps that come before a component's own, and that this needs; those of the components among its options, too.
    `problem` is the regime's and student's, if any."""
    preparing = [
        each
        for each in (named.component, *named.component.parts.values())
        if isinstance(each, Preparing) and type(each).prepares is not Preparing.prepares
    ]
    if not preparing:
        return ()
    problem, host = (problem or course.problem).seen_by(named.component), course.host

    def make(what: Prepared, inputs: dict[str, Any], checkpoint: Checkpoint) -> Made:
        try:
            with host.running(kind, named):
                return what.made(checkpoint), {}
        except RunError as error:  # for every row and seed that would try it again
            host.store.failed["prepare", host.store.key("prepare", inputs)] = str(error)
            raise

    def step(what: Prepared) -> Step:
        inputs = problem.prepared_inputs(what)
        of = f"{what.name}, seed {problem.seed}" if "seed" in what.inputs else what.name
        of += f", teacher seed {course.teacher_seed}" if course.experiment.teacher_seeds > 1 else ""
        of += f", student {problem.student}" if what.inputs.get("student") else ""
        return Step(
            host,
            "prepare",
            what.name,
            inputs,
            partial(make, what, inputs),
            of,
            known=problem.settled,
            total=what.total or round(sum(passes.images for passes in what.cost)),
            unit=what.unit,
            cost=what.cost,
            like=what.name,
            size_bytes=what.size_bytes,
            travels=kind == "evaluator",  # what images are made from is made here, and sent to whoever needs it
            place=course.place,
        )

    with host.running(kind, named):
        return tuple(step(what) for each in preparing for what in each.prepares(problem))
