"""Relabel: what students are to answer for every view, under each regime."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from delt_host.experiment import Column
from delt_host.labels import Labels, label_bytes, own_epochs, while_training
from delt_host.prepared import Passes
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step


def relabel(course: Course) -> Iterator[Step]:
    """A step for each regime and student, whose views are its own, after what the relabeler prepares; none where nobody
    asks what students are told."""
    for column, student in course.tellings if any(scorer.column for scorer in course.scorers) else ():
        named, problem = column.relabeler, course.under(column, student)
        prepared = preparations(course, "relabeler", named, problem)
        yield from prepared
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
            partial(_make, course, column, student),
            student=student,
            column=column,
            needs=(*course.makes_set, *prepared),
            total=epochs,
            unit="epochs",
            cost=tuple(Passes(teacher.architecture, "forward", passes) for teacher in seen.teachers if passes),
            like=f"{named.name}, {column.protocol.name}",
            size_bytes=partial(_size, course, column),
            travels=True,
        )


def _size(course: Course, column: Column) -> int:
    named = column.relabeler
    with course.host.running("relabeler", named):
        return label_bytes(named.component, course.under(column), course.stores)


def _make(course: Course, column: Column, student: int, _checkpoint: Checkpoint) -> Made:
    labels = course.labels(column, student)
    with course.host.running("relabeler", column.relabeler):
        labels.prepare()
    return {}, {"size_bytes": labels.size_bytes}
