"""What a row's components prepare: rankings, statistics, trained references; rows and seeds that want the same share it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from delt_host.component import Component
from delt_host.experiment import Named
from delt_host.host import Host
from delt_host.prepared import Prepared
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.step import Made, Step


def prepare(course: Course) -> Iterator[Step]:
    """The steps of all components that the row uses."""
    row = course.row
    before = {"initializer": row.initializer, "matcher": row.matcher} if course.distils else {}
    if not course.optimises:
        before.pop("matcher", None)
    for kind, named in {**before, "relabeler": row.relabeler}.items():
        if named is not None:
            yield from prepared(course, kind, named)
    for evaluator in course.experiment.evaluators:
        yield from prepared(course, "evaluator", evaluator)


def prepared(course: Course, kind: str, named: Named[Any]) -> tuple[Step, ...]:
    """The steps of one component."""
    if type(named.component).prepares is Component.prepares:
        return ()
    place = f"{kind} {named.component!r}"
    if place not in course.prepared:
        with course.host.running(kind, named):
            declared = named.component.prepares(course.problem.seen_by(named.component))
        course.prepared[place] = tuple(_step(course, kind, named, each) for each in declared)
    return course.prepared[place]


def _step(course: Course, kind: str, named: Named[Component], what: Prepared) -> Step:
    problem = course.problem.seen_by(named.component)
    inputs = problem.prepared_inputs(what)
    of = f"{what.name}, seed {problem.seed}" if "seed" in what.inputs else what.name
    return Step(
        "prepare",
        what.name,
        of,
        inputs,
        course.host.store.key("prepare", inputs),
        partial(_make, course.host, kind, named, what),
        known=problem.settled,
        total=round(sum(passes.images for passes in what.cost)),
        unit="images",
        cost=what.cost,
        like=what.name,
        place=course.place,
    )


def _make(host: Host, kind: str, named: Named[Component], what: Prepared, checkpoint: Checkpoint) -> Made:
    with host.running(kind, named):
        return what.make(checkpoint), {}
