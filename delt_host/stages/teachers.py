"""Squeeze: the teachers, each trained by its recipe or read from a file, and refused where it does not fit the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from delt_host.code_identity import code_of
from delt_host.data.base import RealData
from delt_host.experiment import Experiment
from delt_host.host import Host
from delt_host.identity import network_identity
from delt_host.prepared import Passes
from delt_host.resume import Checkpoint
from delt_host.squeeze import TeacherRecipe, awaited, measured, squeeze
from delt_host.stages.step import Made, Step, do, done
from delt_host.store import Entry
from delt_host.teacher import Awaited, Teacher, check_accuracy

Asked = TeacherRecipe | Path


def squeeze_steps(experiment: Experiment, teachers: Sequence[Teacher], data: RealData, host: Host) -> list[Step]:
    """A step for each teacher, of whom `teachers` has what is known: its squeezing, or the check of one from a file."""
    count = len(experiment.teachers)
    return [
        _step(experiment, asked, so_far, data, host, f"teacher {nth} of {count}")
        for nth, (asked, so_far) in enumerate(zip(experiment.teachers, teachers, strict=True), 1)
    ]


def teacher_of(
    experiment: Experiment, asked: Asked, so_far: Teacher, data: RealData, host: Host, place: str = ""
) -> Teacher:
    """The teacher, made now where it is missing. InputError for one that does not fit the data."""
    step = _step(experiment, asked, so_far, data, host, place)
    do([step], host)
    teacher = so_far
    if isinstance(asked, Path):
        teacher = dataclasses.replace(so_far, accuracy=done(step, host).facts["accuracy"], dataset=data.name)
    elif isinstance(so_far, Awaited):
        teacher = _squeezed(done(step, host))
    check_accuracy(teacher, data, teacher.accuracy)
    if isinstance(asked, Path) and teacher.class_names != data.class_names:
        host.observer.note(f"the teacher's classes are in another order than {data.name}'s; mapped by name")
    host.observer.note(
        f"teacher {teacher.architecture}: top-1 {teacher.accuracy:.1f} % on the test split of {data.name}"
    )
    return teacher


def teacher_so_far(experiment: Experiment, asked: Asked, data: RealData, host: Host) -> Teacher:
    """The teacher as far as it is known before anything runs: from its file, from the store, or awaited."""
    if isinstance(asked, Path):
        teacher = Teacher.load(asked)
        teacher.check_fits(data)
        return teacher
    step = _squeezing(experiment, asked, data, host, "")
    entry = host.store.read(step.stage, step.inputs)
    return _squeezed(entry) if entry else awaited(data, asked)


def _step(experiment: Experiment, asked: Asked, so_far: Teacher, data: RealData, host: Host, place: str) -> Step:
    if isinstance(asked, Path):
        return _checking(experiment, so_far, data, host, place)
    return _squeezing(experiment, asked, data, host, place)


def _squeezed(entry: Entry) -> Teacher:
    facts = {name: value for name, value in entry.facts.items() if name != "seconds"}
    return Teacher.from_facts(facts, entry.tensors)


def _squeezing(experiment: Experiment, recipe: TeacherRecipe, data: RealData, host: Host, place: str) -> Step:
    compute, models = experiment.compute, host.registry.things("model")
    inputs = {
        "code": code_of(squeeze),
        "network": network_identity(recipe.model, models),
        "data": data.fingerprint,
        "normalization": [data.mean, data.std],
        "recipe": recipe.model_dump(),
        "compute": [experiment.device, experiment.precision],
    }

    def make(checkpoint: Checkpoint) -> Made:
        teacher = squeeze(data, recipe, compute, models, host.observer.advance, checkpoint)
        return teacher.state, teacher.facts()

    images = 0 if recipe.weights else recipe.epochs * (len(data.train) // recipe.batch_size) * recipe.batch_size
    tests = Passes(recipe.model, "forward", len(data.test))
    return Step(
        "squeeze",
        recipe.model,
        recipe.model,
        inputs,
        host.store.key("squeeze", inputs),
        make,
        total=images,
        unit="images",
        cost=(Passes(recipe.model, "training", images), tests) if images else (tests,),
        like=recipe.model,
        place=place,
    )


def _checking(experiment: Experiment, teacher: Teacher, data: RealData, host: Host, place: str) -> Step:
    compute, models = experiment.compute, host.registry.things("model")
    inputs = {
        "code": code_of(measured),
        "network": network_identity(teacher.architecture, models),
        "compute": [compute.device, compute.precision],
        "data": data.fingerprint,
        "teacher": teacher.fingerprint,
    }

    def make(_checkpoint: Checkpoint) -> Made:
        return {}, {"accuracy": measured(teacher, data, compute, models).accuracy}

    return Step(
        "check",
        f"teacher {teacher.architecture}",
        f"teacher {teacher.architecture}",
        inputs,
        host.store.key("check", inputs),
        make,
        unit="images",
        cost=(Passes(teacher.architecture, "forward", len(data.test)),),
        like=teacher.architecture,
        place=place,
    )
