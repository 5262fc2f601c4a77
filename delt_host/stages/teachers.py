"""Squeeze: the teachers, each trained by its squeezer or read from a file, and refused where it does not fit the data."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import chain
from pathlib import Path

from delt_host.basics import batching
from delt_host.basics.file_words import short_name
from delt_host.contracts.dataset import RealData
from delt_host.contracts.identity import network_identity
from delt_host.contracts.prepared import Passes
from delt_host.contracts.squeezer import Squeezer
from delt_host.contracts.teacher import Awaited, Teacher, Trained, check_accuracy, is_poor
from delt_host.experiment.experiment import AskedTeacher, Experiment, Named
from delt_host.networks.build import shapes_of
from delt_host.stages.host import Host
from delt_host.stages.step import Made, Step, do
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Entry
from delt_host.training.teachers import awaited, measured, squeeze

Teachers = tuple[tuple[Teacher, ...], ...]
"""Those of each seed of teachers."""


def squeeze_steps(experiment: Experiment, teachers: Teachers, data: RealData, host: Host) -> list[Step]:
    """A step for each teacher, of whom `teachers` has what is known: its squeezing, or the check of one from a file."""
    asked, known = [*chain(*experiment.teachers_by_seed)], [*chain(*teachers)]
    return [
        _step(experiment, one, so_far, data, host, f"teacher {nth} of {len(asked)}")
        for nth, (one, so_far) in enumerate(zip(asked, known, strict=True), 1)
    ]


def teachers_of(experiment: Experiment, teachers: Teachers, data: RealData, host: Host) -> Teachers:
    """All of them, of whom `teachers` has what is known, made now where they are missing. InputError for one that does not
    fit the data."""
    steps = iter(squeeze_steps(experiment, teachers, data, host))
    settled = partial(_settled, experiment, data)
    return tuple(
        tuple(settled(*one) for one in zip(asked, known, steps, strict=False))
        for asked, known in zip(experiment.teachers_by_seed, teachers, strict=True)
    )


def teachers_so_far(experiment: Experiment, data: RealData, host: Host) -> Teachers:
    """All of them, as far as they are known before anything runs."""
    return tuple(
        tuple(teacher_so_far(experiment, asked, data, host) for asked in each) for each in experiment.teachers_by_seed
    )


def teacher_of(experiment: Experiment, asked: AskedTeacher, data: RealData, host: Host) -> Teacher:
    """One of them alone."""
    so_far = teacher_so_far(experiment, asked, data, host)
    return _settled(experiment, data, asked, so_far, _step(experiment, asked, so_far, data, host, ""))


def teacher_so_far(experiment: Experiment, asked: AskedTeacher, data: RealData, host: Host) -> Teacher:
    """The teacher as far as it is known before anything runs: from its file, from the store, or awaited."""
    if not isinstance(asked.made_by, Named):
        teacher = _ready(asked.made_by, data)
        teacher.check_known(host.registry.things("model"), f"the teacher from {asked.origin}")
        teacher.check_fits(data)
        return dataclasses.replace(teacher, name=asked.name)
    step = _squeezing(experiment, asked, asked.made_by, data, host, "")
    if step.known and (entry := host.store.read(step.stage, step.inputs)):
        return _squeezed(asked, entry)
    with host.running("squeezer", asked.made_by):
        return dataclasses.replace(awaited(data, asked.made_by.component), name=asked.name, recipe=asked.recipe)


def _ready(given: Path | Teacher | Trained, data: RealData) -> Teacher:
    """One that is trained already."""
    if isinstance(given, Trained):
        return given.teacher(data)
    return Teacher.load(given) if isinstance(given, Path) else given


def _settled(experiment: Experiment, data: RealData, asked: AskedTeacher, teacher: Teacher, step: Step) -> Teacher:
    do([step])
    observer, ready = step.host.observer, not isinstance(asked.made_by, Named)
    if ready:
        teacher = dataclasses.replace(teacher, accuracy=step.entry().facts["accuracy"], dataset=data.name)
    elif isinstance(teacher, Awaited):
        teacher = _squeezed(asked, step.entry())
    advice = None
    if isinstance(asked.made_by, Named):
        with step.host.running("squeezer", asked.made_by):
            advice = asked.made_by.component.advice(data)
    check_accuracy(teacher, data, teacher.accuracy, advice)
    if warning := teacher.may_have_seen(data):
        observer.note(warning)
    if ready and teacher.class_names != data.class_names:
        observer.note(f"the teacher's classes are in another order than {data.name}'s; mapped by name")
    hint = f"; {advice}" if advice and is_poor(data.num_classes, teacher.accuracy) else ""
    called = _called(experiment, asked, short_name(asked.name))
    observer.note(f"teacher {called}: top-1 {teacher.accuracy:.1f} % on the {data.split} split of {data.name}{hint}")
    return teacher


def _squeezed(asked: AskedTeacher, entry: Entry) -> Teacher:
    facts = {name: value for name, value in entry.facts.items() if name != "seconds"}
    return dataclasses.replace(Teacher.from_facts(facts, entry.tensors), name=asked.name, recipe=asked.recipe)


def _step(experiment: Experiment, asked: AskedTeacher, so_far: Teacher, data: RealData, host: Host, place: str) -> Step:
    if not isinstance(asked.made_by, Named):
        return _checking(experiment, so_far, data, host, place)
    return _squeezing(experiment, asked, asked.made_by, data, host, place)


def _squeezing(
    experiment: Experiment, asked: AskedTeacher, named: Named[Squeezer], data: RealData, host: Host, place: str
) -> Step:
    compute, models, squeezer = experiment.compute, host.registry.things("model"), named.component
    inputs = {
        "code": host.code_of(squeeze),
        "network": network_identity(squeezer.model, models),
        "data": data.fingerprint,
        "normalization": [data.mean, data.std],
        "component": host.identity("squeezer", named),
        "compute": compute.key,
    }

    def make(checkpoint: Checkpoint) -> Made:
        with host.running("squeezer", named):
            teacher = squeeze(data, squeezer, compute, models, host.observer.advance, checkpoint)
        return teacher.state, {**teacher.facts(), "plugin": host.registry.source_of_model(teacher.architecture)}

    def size_bytes() -> int:
        with host.guarding("model", squeezer.model):
            shapes = shapes_of(squeezer.model, data.num_classes, data.image_size, models)
        return sum(4 * shape.numel() for shape in shapes.values())

    with host.running("squeezer", named):
        images = round(squeezer.passes(data))
    tests = _tests(squeezer.model, data)
    return Step(
        host,
        "squeeze",
        _called(experiment, asked, asked.name),
        inputs,
        make,
        total=images,
        unit="images",
        cost=(Passes(squeezer.model, "training", images), tests) if images else (tests,),
        known=not data.unread,
        like=f"{squeezer.model}, {named.name}",
        size_bytes=size_bytes,
        place=place,
    )


def _called(experiment: Experiment, asked: AskedTeacher, name: str) -> str:
    """The name, with the seed of teachers where there are several."""
    return f"{name}, seed {asked.seed}" if experiment.teacher_seeds > 1 else name


def _checking(experiment: Experiment, teacher: Teacher, data: RealData, host: Host, place: str) -> Step:
    compute, models = experiment.compute, host.registry.things("model")
    inputs = {
        "code": host.code_of(measured),
        "network": network_identity(teacher.architecture, models),
        "compute": compute.key,
        "data": data.fingerprint,
        "teacher": teacher.fingerprint,
    }

    def make(_checkpoint: Checkpoint) -> Made:
        return {}, {"accuracy": measured(teacher, data, compute, models).accuracy}

    return Step(
        host,
        "check",
        f"teacher {teacher.called}",
        inputs,
        make,
        known=not data.unread,
        unit="images",
        cost=(
            Passes(
                teacher.architecture,
                "forward",
                len(data.scored),
                min(len(data.scored), batching.in_one_pass(data.image_size)),
            ),
        ),
        like=teacher.architecture,
        place=place,
    )


def _tests(network: str, data: RealData) -> Passes:
    """A network's test."""
    images = len(data.scored)
    return Passes(network, "forward", images, min(images, batching.in_one_pass(data.image_size)))
