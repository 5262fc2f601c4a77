"""Relabel: what students are to answer for every view."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from delt_host.labels import Labels, label_bytes, own_epochs, while_training
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
            passes = 0.0 if while_training(named.component, course.stores) else named.component.passes(seen)
            epochs = own_epochs(named.component, protocol.epochs_of(seen, seen.num_images))
        inputs = {
            "code": course.host.code_of(Problem, Labels),
            **seen.inputs(),
            "distilled": course.distilled_key,
            "views": protocol.view_settings(),
            "ipc": problem.ipc,
            "seed": [problem.seed, student],
            "component": course.host.identity("relabeler", named),
            "stored": course.stores,
        }
        yield course.step(
            "relabel",
            inputs,
            partial(_make, course, student),
            student=student,
            needs=(*course.makes_set, *prepared),
            total=epochs,
            unit="epochs",
            cost=tuple(Passes(teacher.architecture, "forward", passes) for teacher in seen.teachers if passes),
            like=named.name,
            size_bytes=partial(_size, course),
            travels=True,
        )


def _size(course: Course) -> int:
    named = course.row.relabeler
    with course.host.running("relabeler", named):
        return label_bytes(named.component, course.problem, course.stores)


def _make(course: Course, student: int, _checkpoint: Checkpoint) -> Made:
    labels = course.labels(student)
    with course.host.running("relabeler", course.row.relabeler):
        labels.prepare()
    return {}, {"size_bytes": labels.size_bytes}
