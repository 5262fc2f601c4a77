"""Relabel: what students are to answer for every view."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from delt_host.prepared import Passes
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step


def relabel(course: Course) -> Iterator[Step]:
    """A step for each student, whose views are its own, after what the relabeler prepares."""
    named = course.row.relabeler
    prepared = preparations(course, "relabeler", named)
    yield from prepared
    for student in course.students:
        problem = course.problem.with_student(student)
        seen, protocol = problem.seen_by(named.component), problem.protocol
        with course.host.running("relabeler", named):
            passes = 0.0 if named.component.while_training else named.component.passes(seen)
        inputs = {
            "code": course.host.code_of(Problem),
            **seen.inputs(),
            "distilled": course.distilled_key,
            "views": protocol.view_settings(),
            "ipc": problem.ipc,
            "seed": [problem.seed, student],
            "component": course.host.identity("relabeler", named),
        }
        yield course.step(
            "relabel",
            inputs,
            partial(_make, course, student),
            student=student,
            needs=(*course.makes_set, *prepared),
            total=protocol.epochs,
            unit="epochs",
            cost=tuple(Passes(teacher.architecture, "forward", passes) for teacher in seen.teachers if passes),
            like=named.name,
            size_bytes=partial(_size, course),
            travels=True,
        )


def _size(course: Course) -> int:
    named = course.row.relabeler
    with course.host.running("relabeler", named):
        return named.component.size_bytes(course.problem.seen_by(named.component))


def _make(course: Course, student: int, _checkpoint: Checkpoint) -> Made:
    labels = course.labels(student)
    with course.host.running("relabeler", course.row.relabeler):
        labels.prepare()
    return {}, {"size_bytes": labels.size_bytes}
