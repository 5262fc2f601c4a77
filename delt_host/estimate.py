"""``--dry-run``: the stages, what is cached, the exact cost, and an estimate of time and bytes; nothing is run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.compute import Compute
from delt_host.data.base import RealData
from delt_host.entry import digest
from delt_host.experiment import Experiment, Row
from delt_host.host import Host
from delt_host.keys import entries, teacher_inputs
from delt_host.models import Builder, build_model
from delt_host.pipeline import check_ipc, load_data, plan
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.seeding import isolated_rng
from delt_host.squeeze import TeacherRecipe
from delt_host.teacher import Teacher
from delt_host.units import duration, size

PROBE_BATCH, REPEATS = 50, 5  # images in the timed passes, and how often each is timed


@dataclass(frozen=True)
class Step:
    """A stage of the run as it would be."""

    stage: str
    detail: str
    cached: bool
    work: str
    seconds: float
    bytes: int = 0
    of: str = ""
    """What recovered images are made of, as a digest: of several rows with the same one, the first recovers for all."""


@dataclass(frozen=True)
class Speed:
    """Seconds an image for passes of one network, timed on this machine just now."""

    forward: float
    pixels: float
    """Forward, and backward to the pixels: one image-iteration of recovery."""
    training: float


def show(console: Console, experiment: Experiment, steps: Sequence[Step]) -> None:
    """Print the dry run."""
    table = Table(title="dry run: nothing is computed", title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("what", overflow="fold")
    for heading in ("work", "estimate", "bytes"):
        table.add_column(heading, no_wrap=True, justify="right")
    for step in steps:
        estimate = "in the store" if step.cached else duration(step.seconds)
        table.add_row(step.stage, escape(step.detail), step.work, estimate, size(step.bytes) if step.bytes else "")
    console.print(table)
    if experiment.match is not None:
        console.print(f"  Before --match {experiment.match}, which is done once the teacher is there.", highlight=False)
    left = sum(step.seconds for step in steps if not step.cached)
    console.print(
        f"  About {duration(left)} of work left on {experiment.device} in {experiment.precision}, "
        f"{size(sum(step.bytes for step in steps))} in all; the estimate is from passes timed just now.",
        highlight=False,
    )


Timing = Callable[[str, RealData, Compute, dict[str, Builder]], Speed]


def plan_run(
    experiment: Experiment, host: Host, timed: Timing | None = None, data: RealData | None = None
) -> list[Step]:
    """Every stage of the run, in order, for all seeds; networks' passes are timed by `timed`. `data` that are at hand are taken
    as they are."""
    timed = timed or time_passes
    data = data or load_data(experiment.dataset, host)
    check_ipc(experiment, data)
    models = host.registry.things("model")
    teachers: list[Teacher | None] = []
    speeds, steps = [], []
    for asked in experiment.teachers:
        architecture = asked.model if isinstance(asked, TeacherRecipe) else Teacher.load(asked).architecture
        speeds.append(timed(architecture, data, experiment.compute, models))
        teacher, step = _teacher_step(experiment, asked, data, host, speeds[-1])
        teachers.append(teacher)
        steps.append(step)
    plans = {row.label: plan(experiment, data, row, host) for row in experiment.rows}
    students = {name: timed(name, data, experiment.compute, models) for name in _trainings(experiment)}
    for row in experiment.rows:
        steps += _row_steps(experiment, data, host, row, plans[row.label], teachers, speeds, students)
    return each_once(steps)


def each_once(steps: Sequence[Step]) -> list[Step]:
    """The steps, with those whose images a step before recovers as ones in the store."""
    made, found = set[str](), []
    for step in steps:
        found.append(replace(step, cached=True, bytes=0) if step.of and step.of in made else step)
        made.add(step.of)
    return found


def _teacher_step(
    experiment: Experiment, recipe: TeacherRecipe | Path, data: RealData, host: Host, speed: Speed
) -> tuple[Teacher | None, Step]:
    if not isinstance(recipe, TeacherRecipe):
        return Teacher.load(recipe), Step("squeeze", f"teacher from {recipe}", True, "", 0.0)
    entry = host.store.read("teacher", teacher_inputs(experiment, recipe, data, host))
    images = 0 if recipe.weights else recipe.epochs * len(data.train)
    seconds = images * speed.training + len(data.test) * speed.forward
    how = recipe.weights or f"{recipe.epochs} epochs"
    step = Step("squeeze", f"{recipe.model}, {how}", entry is not None, f"{images:,} images", seconds)
    if entry is None:
        return None, step
    facts = {name: value for name, value in entry.facts.items() if name != "seconds"}
    return Teacher.from_facts(facts, entry.tensors), step


def _row_steps(
    experiment: Experiment,
    data: RealData,
    host: Host,
    row: Row,
    plan: Plan,
    teachers: Sequence[Teacher | None],
    speeds: Sequence[Speed],
    students: dict[str, Speed],
) -> list[Step]:
    seeds, protocol = len(experiment.seeds), experiment.protocol
    known = tuple(teacher for teacher in teachers if teacher is not None)
    problem = Problem(data, known, experiment.ipc, experiment.seeds[0], protocol, experiment.compute)
    done = 0
    if len(known) == len(teachers) and row.matcher is not None:
        problems = [problem.with_seed(seed) for seed in experiment.seeds]
        done = sum(_recovered(experiment, p, row, plan, host) for p in problems)
    views = protocol.epochs * problem.num_images * seeds
    image_bytes = problem.num_images * 3 * data.image_size**2 * seeds
    steps = []
    if plan.groups:
        cost = plan.image_iterations * seeds
        # A committee takes turns, so its members' speeds count alike.
        members = speeds if row.matcher and row.matcher.component.committee else speeds[:1]
        seconds = cost * fmean(speed.pixels for speed in members) * (seeds - done) / seeds
        detail = f"{row.label}: {_count(len(plan.groups), 'group')}, {_count(seeds, 'seed')}, {done} done"
        parts = [host.identity("initializer", row.initializer), plan.model_dump(mode="json", exclude={"residual"})]
        of = digest([*parts, row.matcher and host.identity("matcher", row.matcher)])
        steps.append(Step("recover", detail, done == seeds, f"{cost:,} image-its", seconds, image_bytes, of))
    label_bytes = row.relabeler.component.size_bytes(problem) * seeds
    labelled = f"{row.label}: {row.relabeler.name}"
    labellers = speeds if row.relabeler.component.committee else speeds[:1]
    seconds = views * sum(speed.forward for speed in labellers)
    steps.append(Step("relabel", labelled, False, f"{views:,} views", seconds, label_bytes))
    tests = 1 + (protocol.epochs // protocol.evaluate_every if protocol.evaluate_every else 0)
    for name, times in _trainings(experiment).items():
        student = students[name]
        seconds = times * (views * student.training + tests * seeds * len(data.test) * student.forward)
        steps.append(Step("evaluate", f"{row.label}: {name}", False, f"{round(times * views):,} images", seconds))
    return steps


def _recovered(experiment: Experiment, problem: Problem, row: Row, plan: Plan, host: Host) -> bool:
    """Whether all groups of this seed are in the store."""
    made = entries(experiment, problem, row, plan, host)
    return all(host.store.holds(*entry) for _, entry in made.groups)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' * (number != 1)}"


def _trainings(experiment: Experiment) -> dict[str, float]:
    """How many trainings the evaluators give each network."""
    counted: dict[str, float] = {}
    for named in experiment.evaluators:
        for name, times in named.component.trainings.items():
            counted[name] = counted.get(name, 0) + times
    return counted


def time_passes(
    model: str,
    data: RealData,
    compute: Compute,
    models: dict[str, Builder],
    batch: int = PROBE_BATCH,
    repeats: int = REPEATS,
) -> Speed:
    """Time a few passes of a freshly initialised network on a batch of blank images."""
    with isolated_rng(0, "probe"):
        network = compute.place(build_model(model, data.num_classes, data.image_size, models)).train()
    images = torch.zeros(batch, 3, data.image_size, data.image_size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad(), compute.autocast():
            network(images)

    def training() -> None:
        with compute.autocast():
            network(images).float().square().mean().backward()

    def pixels() -> None:
        leaf = images.detach().requires_grad_(True)
        with compute.autocast():
            loss = network(leaf).float().square().mean()
        torch.autograd.grad(loss, leaf)

    trained = _timed(training, repeats) / batch
    network.eval().requires_grad_(False)
    return Speed(forward=_timed(forward, repeats) / batch, pixels=_timed(pixels, repeats) / batch, training=trained)


def _timed(work: Callable[[], None], repeats: int) -> float:
    """Median seconds."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[repeats // 2]
