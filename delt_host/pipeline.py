"""The stages in order. Open this file first.

            squeeze          initialize      schedule x match        relabel           evaluate
 real data --------> teacher --------> images ----(recover)---> images -------> labels --------> scores --> compare
                        '-----------------'------------'-----------'---------------'

Every stage looks in the store first; its key names all that it depends on, through the keys of the stages before it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delt_host.budget import check_stretchable, sized, with_budget
from delt_host.code_identity import code_of
from delt_host.codec import through_codec
from delt_host.components import Cost, Distilled, Evaluation, ImageSet, Labels, Matcher
from delt_host.compute import Compute, keep_freed_memory
from delt_host.cost import multiply_adds, peak_memory
from delt_host.data.base import Dataset, RealData
from delt_host.errors import InputError, RunError
from delt_host.experiment import Experiment, Named, Row
from delt_host.forecast import forecast
from delt_host.history import LossCurve, averaged, recorded
from delt_host.host import Host
from delt_host.identity import network_identity
from delt_host.keys import (
    assembled_key,
    detail,
    finished_key,
    label_inputs,
    recover_inputs,
    score_inputs,
    start_inputs,
    teacher_inputs,
)
from delt_host.measurement import Measurement
from delt_host.models import build_model
from delt_host.observer import Observer
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.recover import assemble, check_plan, recover_stack, stacks
from delt_host.resume import Checkpoint
from delt_host.seeding import isolated_rng
from delt_host.squeeze import TeacherRecipe, measured, squeeze
from delt_host.store import Entry
from delt_host.teacher import Teacher, check_accuracy


def prepare(
    experiment: Experiment,
    host: Host,
    data: RealData | None = None,
    teachers: tuple[Teacher, ...] = (),
    distil: bool = True,
) -> tuple[Experiment, Problem, dict[str, Plan]]:
    """The experiment with its rows brought to its budget, what they share, teacher included, and each row's plan by label.

    `data` and `teachers` that are at hand already are taken as they are. `distil`: whether `run` will be asked to; only what
    the observer is told to expect depends on it.
    """
    keep_freed_memory()
    data = data or load_data(experiment.dataset, host)
    check_ipc(experiment, data)
    check_students(experiment, data, host)
    check_stretchable(experiment)
    plans = {row.label: plan(experiment, data, row, host) for row in experiment.rows}
    host.observer.expect(forecast(experiment, _without_teachers(experiment, data, host), plans, host, distil))
    teachers = teachers or tuple(squeeze_teacher(experiment, asked, data, host) for asked in experiment.teachers)
    problem = Problem(
        data=data,
        teachers=teachers,
        ipc=experiment.ipc,
        seed=experiment.seeds[0],
        protocol=experiment.protocol,
        compute=experiment.compute,
        models=host.registry.things("model"),
        store=host.store,
        observer=host.observer,
    )
    if experiment.match is not None:
        experiment = dataclasses.replace(experiment, rows=with_budget(experiment, problem, plans, host))
        plans = {row.label: plan(experiment, data, row, host) for row in experiment.rows}
    return experiment, problem, plans


Saved = Callable[[Row, int], Distilled]
"""The distilled set of a row and seed that an earlier run left."""


def run(
    experiment: Experiment, shared: Problem, plans: Mapping[str, Plan], host: Host, saved: Saved | None = None
) -> Iterator[Measurement]:
    """Run every stage of every row and seed, and yield one measurement for each row, seed and evaluator.

    A row that fails gives `failure` for each evaluator that has not scored it yet; the other rows still run. With `saved`
    nothing is distilled: its sets are labelled and evaluated.
    """
    host.observer.expect(forecast(experiment, shared, plans, host, distil=saved is None))
    for seed in experiment.seeds:
        problem = shared.with_seed(seed)
        for row in experiment.rows:
            left = list(experiment.evaluators)
            try:
                for measurement in run_row(experiment, problem, row, plans[row.label], host, saved):
                    yield measurement
                    left.remove(measurement.evaluator)
            except RunError as error:
                host.observer.note(f"{row.label}, seed {seed}: {error}")
                for evaluator in left:
                    yield Measurement(row, seed, evaluator, plan=plans[row.label], failure=str(error))
        if experiment.ceiling_epochs:
            yield from ceiling(problem, experiment, host)


def run_row(
    experiment: Experiment, problem: Problem, row: Row, plan: Plan, host: Host, saved: Saved | None = None
) -> Iterator[Measurement]:
    """One row under one seed."""
    problem = sized(problem, row)
    history = None
    if saved is not None:
        distilled = saved(row, problem.seed)
        distilled_key = distilled.fingerprint
    else:
        start, start_key = initialize(problem, row, host)
        images, images_key, cost, curves = recover(problem, row, plan, start, start_key, host)
        history = recorded(plan, start, problem.normalization, curves)
        distilled, distilled_key = finish(problem, images, images_key, cost)
    labels, labels_key = relabel(problem, row, distilled, distilled_key, host)
    for evaluator in experiment.evaluators:
        evaluation, key = evaluate(problem, row, evaluator, distilled, labels, labels_key, host)
        yield Measurement(row, problem.seed, evaluator, evaluation, plan, distilled, labels, history, key=key)


def load_data(dataset: Named[Dataset], host: Host) -> RealData:
    """The dataset, its notes passed on."""
    with host.observer.stage("load", dataset.name, 0, "images"):
        data = dataset.component.load()
    for note in data.notes:
        host.observer.note(f"{data.name}: {note}")
    return data


def check_ipc(experiment: Experiment, data: RealData) -> None:
    """InputError for a class that has fewer images than are asked for."""
    counts = torch.bincount(data.train.targets, minlength=data.num_classes)
    if int(counts.min()) < experiment.ipc:
        name = data.class_names[int(counts.argmin())]
        raise InputError(
            f"--ipc {experiment.ipc} is more than class {name!r} of {data.name} has: {int(counts.min())} training images"
        )


def check_students(experiment: Experiment, data: RealData, host: Host) -> None:
    """InputError for a student that does not exist or cannot take the images: now, not after an hour of distilling."""
    for named in experiment.evaluators:
        for model in named.component.trainings:
            with isolated_rng(0, "check"):
                build_model(model, data.num_classes, data.image_size, host.registry.things("model"))


def plan(experiment: Experiment, data: RealData, row: Row, host: Host) -> Plan:
    """The row's plan; made before anything runs, so that its errors and its cost come first."""
    if row.scheduler is None:
        return Plan(groups=())
    blank = _without_teachers(experiment, data, host)
    blank = blank.with_ipc(row.ipc) if row.ipc else blank
    with host.running("scheduler", row.scheduler):
        made = row.scheduler.component.plan(blank)
        check_plan(made, blank.num_images)
    return made


def _without_teachers(experiment: Experiment, data: RealData, host: Host) -> Problem:
    """What is known before there is a teacher."""
    seed, protocol = experiment.seeds[0], experiment.protocol
    return Problem(data, (), experiment.ipc, seed, protocol, experiment.compute, observer=host.observer)


def squeeze_teacher(experiment: Experiment, asked: TeacherRecipe | Path, data: RealData, host: Host) -> Teacher:
    """A teacher: squeezed by the recipe, or imported; either is refused where it does not fit the data."""
    compute, models = experiment.compute, host.registry.things("model")
    if isinstance(asked, Path):
        teacher = _import_teacher(asked, data, compute, host)
    else:
        recipe = asked
        images = recipe.epochs * (len(data.train) // recipe.batch_size) * recipe.batch_size

        def work(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Any]]:
            with host.observer.stage("squeeze", recipe.model, images, "images"):
                teacher = squeeze(data, recipe, compute, models, host.observer.advance, checkpoint)
            return teacher.state, teacher.facts()

        entry = host.store.resume("teacher", teacher_inputs(experiment, recipe, data, host), work)
        if entry.cached:
            host.observer.cached("squeeze", recipe.model)
        facts = {name: value for name, value in entry.facts.items() if name != "seconds"}
        teacher = Teacher.from_facts(facts, entry.tensors)
    check_accuracy(teacher, data, teacher.accuracy)
    host.observer.note(
        f"teacher {teacher.architecture}: top-1 {teacher.accuracy:.1f} % on the test split of {data.name}"
    )
    return teacher


def _import_teacher(path: Path, data: RealData, compute: Compute, host: Host) -> Teacher:
    teacher = Teacher.load(path)
    teacher.check_fits(data)

    def check() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with host.observer.stage("check teacher", teacher.architecture, 0, "images"):
            return {}, {"accuracy": measured(teacher, data, compute, host.registry.things("model")).accuracy}

    inputs = {
        "code": code_of(measured),
        "network": network_identity(teacher.architecture, host.registry.things("model")),
        "compute": [compute.device, compute.precision],
        "data": data.fingerprint,
        "teacher": teacher.fingerprint,
    }
    accuracy = host.store.make("teacher-check", inputs, check).facts["accuracy"]
    if teacher.class_names != data.class_names:
        host.observer.note(f"the teacher's classes are in another order than {data.name}'s; mapped by name")
    return dataclasses.replace(teacher, accuracy=accuracy, dataset=data.name)


def initialize(problem: Problem, row: Row, host: Host) -> tuple[ImageSet, str]:
    """The images that recovery starts from, and their key."""

    def work() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with host.running("initializer", row.initializer):
            with host.observer.stage("initialize", detail(row, problem), problem.num_images, "images"):
                start = row.initializer.component.initialize(problem.seen_by(row.initializer.component))
            _check_images(start, problem)
        return {"images": start.images, "targets": start.targets}, {}

    entry = host.store.make("start", start_inputs(problem, row, host), work)
    if entry.cached:
        host.observer.cached("initialize", detail(row, problem))
    return ImageSet(entry.tensors["images"], entry.tensors["targets"]), entry.key


def recover(
    problem: Problem, row: Row, plan: Plan, start: ImageSet, start_key: str, host: Host
) -> tuple[ImageSet, str, Cost, tuple[LossCurve, ...]]:
    """The optimised images, their key, and what recovery took and how its losses fell when it ran. One store entry a
    stack of groups."""
    if not plan.groups or row.matcher is None:
        return start, start_key, Cost(), ()
    named = row.matcher
    seen = problem.seen_by(named.component)
    key = host.store.key("recover", recover_inputs(problem, named, plan, start_key, host))
    together = stacks(plan, named.component, problem.compute, problem.image_size)
    missing = [stack for stack in together if not host.store.has("recover", {"of": key, "groups": stack})]
    work_left = sum(plan.groups[g].image_iterations for stack in missing for g in stack)
    images, seconds, peaks, curves = [], 0.0, [], []
    with _stage_or_cached(host, "recover", detail(row, problem), work_left, "image-iterations", bool(missing)):
        for stack in together:
            entry = recover_groups(seen, named, plan, stack, start, key, host)
            images += list(entry.tensors["images"])
            seconds += entry.facts["seconds"]
            peaks.append(entry.facts["peak_bytes"])
            curves += entry.facts["curves"]

    def count() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with host.running("matcher", named):
            return {}, {"multiply_adds": multiply_adds(seen, start, plan, named.component)}

    counted = host.store.make("multiply-adds", {"of": key, "code": code_of(multiply_adds)}, count).facts[
        "multiply_adds"
    ]
    cost = Cost(plan.image_iterations, counted, seconds, max(peaks))
    return assemble(start, plan, images), assembled_key(key, plan), cost, averaged(curves)


def recover_groups(
    problem: Problem,
    matcher: Named[Matcher],
    plan: Plan,
    stack: tuple[int, ...],
    start: ImageSet,
    key: str,
    host: Host,
) -> Entry:
    """One stack of a plan's groups, `problem` as the matcher sees it: what an engine gives to a machine."""

    def work(checkpoint: Checkpoint) -> tuple[dict[str, Tensor], dict[str, Any]]:
        with peak_memory(problem.compute.device) as peak, host.running("matcher", matcher):
            advance = host.observer.advance
            results = recover_stack(problem, start, plan, stack, matcher.component, advance, checkpoint)
        recovered = torch.stack([result.images for result in results])
        facts = {"curves": [result.curves for result in results], "peak_bytes": peak.size_bytes}
        return {"images": recovered}, facts

    return host.store.resume("recover", {"of": key, "groups": stack}, work)


def finish(problem: Problem, images: ImageSet, images_key: str, cost: Cost) -> tuple[Distilled, str]:
    """Pixels as whole numbers, through the protocol's codec: what is shipped, and what students see."""
    protocol = problem.protocol
    pixels = problem.normalization.denormalize(images.images, protocol.rounding)
    return through_codec(Distilled(pixels, images.targets, cost), protocol.codec), finished_key(problem, images_key)


def relabel(problem: Problem, row: Row, distilled: Distilled, distilled_key: str, host: Host) -> tuple[Labels, str]:
    """The labels of the protocol's views."""
    inputs = label_inputs(problem, row, distilled_key, host)
    problem = problem.seen_by(row.relabeler.component)
    with host.running("relabeler", row.relabeler):
        labels = row.relabeler.component.relabel(problem, distilled)

    def work() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with (
            host.running("relabeler", row.relabeler),
            host.observer.stage("relabel", detail(row, problem), problem.protocol.epochs, "epochs"),
        ):
            labels.prepare()
        return {}, {"size_bytes": labels.size_bytes}

    entry = host.store.make("relabel", inputs, work)
    if entry.cached:
        host.observer.cached("relabel", detail(row, problem))
    return labels, entry.key


def evaluate(
    problem: Problem,
    row: Row,
    evaluator: Named[Any],
    distilled: Distilled,
    labels: Labels,
    labels_key: str,
    host: Host,
) -> tuple[Evaluation, str]:
    """The scores of one evaluator, and their key."""
    what = detail(row, problem, evaluator)

    def work() -> tuple[dict[str, Tensor], dict[str, Any]]:
        with host.running("evaluator", evaluator):
            with host.observer.stage("evaluate", what, problem.protocol.epochs, "epochs"):
                made = evaluator.component.evaluate(problem.seen_by(evaluator.component), distilled, labels)
            _check_scores(made, evaluator.component.headline)
        return {}, {"scores": made.scores, "facts": made.facts}

    entry = host.store.make("scores", score_inputs(problem, evaluator, labels_key, host), work)
    if entry.cached:
        host.observer.cached("evaluate", what)
    return Evaluation(entry.facts["scores"], entry.facts["facts"]), entry.key


def ceiling(problem: Problem, experiment: Experiment, host: Host) -> Iterator[Measurement]:
    """Students trained on the whole real training set: what no distilled set is expected to pass.

    The same protocol but for its epochs, and the teacher's labels made while training: stored ones would take
    thousands of times the place. Epochs and steps are in the table.
    """
    count = len(problem.data.train)
    pixels = problem.data.train.read(torch.arange(count))
    distilled = Distilled(pixels, problem.data.train.targets, Cost())
    protocol = problem.protocol.model_copy(update={"epochs": experiment.ceiling_epochs})
    whole = dataclasses.replace(problem, ipc=count // problem.num_classes, protocol=protocol)
    online = host.registry.get("relabeler", "online")()
    row = Row("whole real set", "ceiling", experiment.rows[0].initializer, None, None, Named("online", online))
    labels, labels_key = relabel(whole, row, distilled, problem.data.fingerprint, host)
    for evaluator in experiment.evaluators:
        evaluation, key = evaluate(whole, row, evaluator, distilled, labels, labels_key, host)
        yield Measurement(row, problem.seed, evaluator, evaluation, Plan(groups=()), distilled, labels, key=key)


def _stage_or_cached(host: Host, name: str, what: str, total: int, unit: str, needed: bool) -> Any:
    if not needed:
        host.observer.cached(name, what)
        return Observer().stage(name, what, total, unit)
    return host.observer.stage(name, what, total, unit)


def _check_images(start: ImageSet, problem: Problem) -> None:
    wanted = (problem.num_images, 3, problem.image_size, problem.image_size)
    if tuple(start.images.shape) != wanted:
        raise RunError(f"it gave images of shape {tuple(start.images.shape)}, not {wanted}")
    if not torch.equal(start.targets, problem.targets()):
        raise RunError(f"it must give {problem.ipc} images of every class, in class order")
    if not bool(torch.isfinite(start.images).all()):
        raise RunError("it gave pixels that are not finite")


def _check_scores(evaluation: Evaluation, headline: str) -> None:
    scores: Mapping[str, float] = evaluation.scores
    if headline not in scores:
        raise RunError(f"it gave no score {headline!r}, its headline (gave: {sorted(scores)})")
    if not all(isinstance(value, int | float) for value in scores.values()):
        raise RunError(f"its scores are not all numbers: {dict(scores)}")
