"""Evaluate: the scores of every evaluator, each a step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from delt_host.components import Evaluation
from delt_host.errors import RunError
from delt_host.experiment import Named
from delt_host.identity import identity, network_identity
from delt_host.labels import while_training
from delt_host.prepared import Passes
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step
from delt_host.train import train_student


def evaluate(course: Course) -> Iterator[Step]:
    """A step for each student and evaluator, in their order, each after what the evaluator prepares."""
    for student, labels in zip(course.students, course["relabel"], strict=True):
        for named in course.experiment.evaluators:
            problem = course.problem.with_student(student)
            prepared = preparations(course, "evaluator", named, student)
            yield from prepared
            inputs = {
                **problem.seen_by(named.component).inputs(),
                "code": course.host.code_of(train_student),
                "networks": [network_identity(name, problem.models) for name in named.component.trainings],
                "labels": labels.key,
                "protocol": identity(problem.protocol),
                "component": course.host.identity("evaluator", named),
            }
            yield course.step(
                "evaluate",
                inputs,
                partial(_make, course, named, student),
                detail=named.component.title,
                student=student,
                needs=(*course.makes_set, labels, *prepared),
                total=problem.protocol.epochs_of(problem, problem.ipc * problem.num_classes),
                unit="epochs",
                cost=tuple(_cost(course, named)),
                like=f"{named.component.title}, {course.row.relabeler.name}",
                travels=True,
            )


def _cost(course: Course, evaluator: Named[Any]) -> Iterator[Passes]:
    """Its trainings, with the tests in between, and the teacher's answers; what one without takes, nobody knows."""
    problem, relabeler = course.problem, course.row.relabeler.component
    protocol = problem.protocol
    views = protocol.views_of(problem, problem.num_images)
    epochs = protocol.epochs_of(problem, problem.ipc * problem.num_classes)
    tests = 1 + (epochs // protocol.evaluate_every if protocol.evaluate_every else 0)
    for network, times in evaluator.component.trainings.items():
        yield Passes(network, "training", times * views)
        yield Passes(network, "forward", times * tests * len(problem.data.test))
        for teacher in problem.seen_by(relabeler).teachers if while_training(relabeler, course.stores) else ():
            yield Passes(teacher.architecture, "forward", times * views)


def _make(course: Course, named: Named[Any], student: int, _checkpoint: Checkpoint) -> Made:
    distilled, labels = course.distilled, course.labels(student)
    problem = course.problem.with_student(student)
    with course.host.running("evaluator", named):
        made = named.component.evaluate(problem.seen_by(named.component), distilled, labels)
        _check_scores(made, named.component.headline)
    return {}, {"scores": made.scores, "facts": made.facts}


def _check_scores(evaluation: Evaluation, headline: str) -> None:
    if headline not in evaluation.scores:
        gave = sorted(evaluation.scores)
        raise RunError(f"it gave no score {headline!r}, its headline (gave: {gave})")
    if not all(isinstance(value, int | float) for value in evaluation.scores.values()):
        raise RunError(f"its scores are not all numbers: {dict(evaluation.scores)}")
