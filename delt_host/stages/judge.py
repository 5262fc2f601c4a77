"""Judge: what students are to answer for every view, under each regime, and the scores of every evaluator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from typing import cast

from delt_host.basics import batching
from delt_host.basics.errors import RunError
from delt_host.contracts.evaluator import Evaluation, check_contract
from delt_host.contracts.identity import network_identity
from delt_host.contracts.labels import (
    Labels,
    blocks_of,
    label_bytes,
    own_epochs,
    shown_by,
    while_training,
)
from delt_host.contracts.prepared import Passes
from delt_host.contracts.problem import Problem
from delt_host.contracts.taught import Taught
from delt_host.experiment.experiment import Column
from delt_host.stages.course import Course, Scorer
from delt_host.stages.prepare import preparations
from delt_host.stages.step import BESIDE, Made, Step
from delt_host.store.resume import Checkpoint
from delt_host.training.students import train_student


def relabel(course: Course) -> Iterator[Step]:
    """A step for each block of epochs, which machines can share, of each regime and student, whose views are its own, after
    what the relabeler prepares; one where labels are not kept by view, and none where nobody asks what students are told."""
    host = course.host

    def make(column: Column, student: int, block: range, _checkpoint: Checkpoint) -> Made:
        labels = course.taught(column, student).labels
        with host.running("relabeler", column.relabeler):
            labels.prepare(block)
        return {}, {BESIDE: labels.kept_as(block)}

    def failing(error: RunError, _checkpoint: Checkpoint) -> Made:
        raise error

    def steps(column: Column, student: int) -> Iterator[Step]:
        named, problem = column.relabeler, course.under(column, student)
        prepared = preparations(course, "relabeler", named, problem)
        yield from prepared
        seen, protocol = problem.seen_by(named.component), problem.protocol
        with host.running("relabeler", named):
            passes = 0.0 if while_training(named.component, course.stores) else named.component.passes(seen)
            epochs = own_epochs(named.component, protocol.epochs_of(seen, seen.num_images))
            blocks = blocks_of(named.component, seen, epochs, course.stores)

        @cache
        def whole_bytes() -> float:
            with host.running("relabeler", named):
                return label_bytes(named.component, problem, course.stores)

        def size_bytes(share: float) -> int:
            return round(share * whole_bytes())

        inputs = {
            "code": host.code_of(Problem, Labels),
            **seen.inputs(),
            "distilled": course.distilled_key,
            "views": shown_by(protocol),
            "ipc": problem.ipc,
            "seed": [problem.seed, student],
            "component": host.identity("relabeler", named),
            "stored": course.stores,
        }
        for block in blocks:
            share = len(block) / epochs
            yield course.step(
                "relabel",
                {**inputs, "epochs": [block.start, block.stop]},
                partial(make, column, student, block),
                student=student,
                column=column,
                needs=(*course["finish"], *course.packing, *prepared),
                total=len(block),
                unit="epochs",
                cost=tuple(
                    Passes(
                        each.architecture,
                        "forward",
                        passes * share,
                        min(passes * share, batching.in_one_pass(seen.image_size)),
                    )
                    for each in seen.teachers
                    if passes
                ),
                like=f"{named.name}, {column.protocol.name}",
                size_bytes=partial(size_bytes, share),
                travels=True,
            )

    for column, student in course.tellings if any(scorer.column for scorer in course.scorers) else ():
        try:
            yield from list(steps(column, student))
        except RunError as error:  # of a relabeler that cannot tell what it will do the regime is lost, and not the row
            host.untold[f"{course.row.label}, {column.name}"] = str(error)
            inputs = {"untold": str(error), "regime": column.name}
            yield course.step("relabel", inputs, partial(failing, error), student=student, column=column, unit="epochs")


def evaluate(course: Course) -> Iterator[Step]:
    """A step for each who scores the set, in their order, after what the evaluator prepares."""
    host = course.host

    def make(scorer: Scorer, checkpoint: Checkpoint) -> Made:
        named, column = scorer.evaluator, scorer.column
        taught = None if column is None else course.taught(column, scorer.student)
        problem, distilled = course.under(column, scorer.student), course.distilled
        problem = replace(problem, services=replace(problem.services, checkpoint=checkpoint))
        with host.running("evaluator", named):
            check_contract(named.component)
            made = named.component.evaluate(problem.seen_by(named.component), distilled, cast("Taught", taught))
            _check_scores(made, named.component.headline)
        return {}, {"scores": made.scores, "facts": made.facts}

    for scorer in course.scorers:
        named, column = scorer.evaluator, scorer.column
        problem = course.under(column, scorer.student)
        prepared = preparations(course, "evaluator", named, problem)
        yield from prepared
        needs, told, like = (
            (*course["finish"], *course.packing),
            {"distilled": course.distilled_key, "seed": problem.seed},
            [],
        )
        if column is not None:
            labels = course.labels_steps(column, scorer.student)
            needs = (*needs, *labels)
            told = {"labels": [step.key for step in labels], "protocol": host.identity("protocol", column.protocol)}
            like = [column.relabeler.name, column.protocol.name]
        inputs = {
            **problem.seen_by(named.component).inputs(),
            "code": host.code_of(train_student),
            "networks": [network_identity(name, problem.models) for name in named.component.trainings],
            **told,
            "component": host.identity("evaluator", named),
        }
        yield course.step(
            "evaluate",
            inputs,
            partial(make, scorer),
            detail=named.component.title,
            student=scorer.student if column else None,
            column=column,
            needs=(*needs, *prepared),
            total=problem.protocol.epochs_of(problem, problem.ipc * problem.num_classes) if column else 1,
            unit="epochs" if column else "sets",
            cost=tuple(_cost(course, scorer)),
            like=", ".join([named.component.title, *like]),
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
    tests = 1 + sum(protocol.tests(epoch, epochs) for epoch in range(epochs - 1))
    every = len(problem.data.scored)
    images = min(protocol.test_images * problem.num_classes, every) if protocol.test_images else every
    batch = protocol.part_for(problem.ipc, problem.num_classes)
    for network, times in scorer.evaluator.component.trainings.items():
        yield Passes(network, "training", times * views, batch)
        yield Passes(network, "forward", times * tests * images, min(images, batching.in_one_pass(problem.image_size)))
        for teacher in problem.seen_by(relabeler).teachers if while_training(relabeler, course.stores) else ():
            yield Passes(teacher.architecture, "forward", times * views, batch)


def _check_scores(evaluation: object, headline: str) -> None:
    if not isinstance(evaluation, Evaluation):
        raise RunError(f"it gave a {type(evaluation).__name__}; return an Evaluation, of scores and facts")
    if headline not in evaluation.scores:
        gave = sorted(evaluation.scores)
        raise RunError(f"it gave no score {headline!r}, its headline (gave: {gave})")
    if not all(isinstance(value, int | float) for value in evaluation.scores.values()):
        raise RunError(f"its scores are not all numbers: {dict(evaluation.scores)}")
