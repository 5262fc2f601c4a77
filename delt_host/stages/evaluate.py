"""Evaluate: the scores of every evaluator, each a step, of the set or of a student under a regime."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

from delt_host.components import Evaluation
from delt_host.errors import RunError
from delt_host.identity import network_identity
from delt_host.labels import while_training
from delt_host.prepared import Passes
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course, Scorer
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step
from delt_host.taught import Taught, check_contract
from delt_host.train import train_student


def evaluate(course: Course) -> Iterator[Step]:
    """A step for each who scores the set, in their order, after what the evaluator prepares."""
    for scorer in course.scorers:
        named, column = scorer.evaluator, scorer.column
        problem = course.under(column, scorer.student)
        prepared = preparations(course, "evaluator", named, problem)
        yield from prepared
        needs, told = course.makes_set, {"distilled": course.distilled_key, "seed": problem.seed}
        if column is not None:
            labels = course.labels_step(column, scorer.student)
            needs = (*needs, labels)
            told = {"labels": labels.key, "protocol": course.host.identity("protocol", column.protocol)}
        inputs = {
            **problem.seen_by(named.component).inputs(),
            "code": course.host.code_of(train_student),
            "networks": [network_identity(name, problem.models) for name in named.component.trainings],
            **told,
            "component": course.host.identity("evaluator", named),
        }
        yield course.step(
            "evaluate",
            inputs,
            partial(_make, course, scorer),
            detail=named.component.title,
            student=scorer.student if column else None,
            column=column,
            needs=(*needs, *prepared),
            total=problem.protocol.epochs_of(problem, problem.ipc * problem.num_classes) if column else 1,
            unit="epochs" if column else "sets",
            cost=tuple(_cost(course, scorer)),
            like=", ".join([named.component.title, *([column.relabeler.name, column.protocol.name] if column else [])]),
            travels=True,
        )


def _cost(course: Course, scorer: Scorer) -> Iterator[Passes]:
    """Its trainings, with the tests in between, and the teacher's answers; what one without takes, nobody knows."""
    if scorer.column is None:
        return
    problem, relabeler = course.under(scorer.column), scorer.column.relabeler.component
    protocol = problem.protocol
    views = protocol.views_of(problem, problem.num_images)
    epochs = protocol.epochs_of(problem, problem.ipc * problem.num_classes)
    tests = 1 + (epochs // protocol.evaluate_every if protocol.evaluate_every else 0)
    for network, times in scorer.evaluator.component.trainings.items():
        yield Passes(network, "training", times * views)
        yield Passes(network, "forward", times * tests * len(problem.data.test))
        for teacher in problem.seen_by(relabeler).teachers if while_training(relabeler, course.stores) else ():
            yield Passes(teacher.architecture, "forward", times * views)


def _make(course: Course, scorer: Scorer, _checkpoint: Checkpoint) -> Made:
    named, column = scorer.evaluator, scorer.column
    taught = None if column is None else course.taught(column, scorer.student)
    problem, distilled = course.under(column, scorer.student), course.distilled
    with course.host.running("evaluator", named):
        check_contract(named.component)
        made = named.component.evaluate(problem.seen_by(named.component), distilled, cast("Taught", taught))
        _check_scores(made, named.component.headline)
    return {}, {"scores": made.scores, "facts": made.facts}


def _check_scores(evaluation: object, headline: str) -> None:
    if not isinstance(evaluation, Evaluation):
        raise RunError(f"it gave a {type(evaluation).__name__}; return an Evaluation, of scores and facts")
    if headline not in evaluation.scores:
        gave = sorted(evaluation.scores)
        raise RunError(f"it gave no score {headline!r}, its headline (gave: {gave})")
    if not all(isinstance(value, int | float) for value in evaluation.scores.values()):
        raise RunError(f"its scores are not all numbers: {dict(evaluation.scores)}")
