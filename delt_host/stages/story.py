"""The stages in order. Open this file first.

            squeeze          initialize      schedule x match        relabel           evaluate
 real data --------> teacher --------> images ----(recover)---> images -------> labels --------> scores --> compare
                        '-----------------'------------'-----------'---------------'

`STORY` is the list: a run does its steps, a dry run and the time left count them, engines spread them, and the store keeps
each under its stage's name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from delt_host.basics import batching, norm_relu_pool, traces
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.file_words import short_name
from delt_host.contracts.dataset import Dataset, RealData
from delt_host.contracts.network_source import Frozen
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.services import Services
from delt_host.contracts.validation import with_validation
from delt_host.experiment.experiment import Experiment, Named, Row
from delt_host.networks.build import check_built
from delt_host.recovery.loop import check_plan
from delt_host.stages.budget import check_stretchable, pace_steps, with_budget
from delt_host.stages.course import Course, Scorer
from delt_host.stages.distil import finish, initialize, pack, recover
from delt_host.stages.given import CEILING, Given, Saved, whole
from delt_host.stages.host import Host
from delt_host.stages.judge import evaluate, relabel
from delt_host.stages.measurement import Measurement
from delt_host.stages.step import Step, bunches, do, expected
from delt_host.stages.teachers import Teachers, squeeze_steps, teachers_of, teachers_so_far

STORY: tuple[Callable[[Course], Iterable[Step]], ...] = (initialize, recover, pack, finish, relabel, evaluate)
"""What each row goes through under each seed, after the teachers. Each may ask the course for the steps before its own."""


@dataclass(frozen=True)
class Comparison:
    """An experiment with what its rows share: data, teachers as far as they are known, and each row's plan by label."""

    experiment: Experiment
    problem: Problem
    """With the teachers of the first seed of teachers, whose first says how images are normalised."""
    plans: Mapping[str, Plan]
    host: Host
    teachers: Teachers
    """As far as they are known, by the seeds of teachers."""
    saved: Saved | None = None
    """Where sets are that are not to be distilled again."""
    _seen: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    """The fingerprints of these sets, and how many images they have."""

    def steps(self) -> Iterator[Step]:
        """THE list. Before a budget is settled, rows are as they are without it."""
        yield from squeeze_steps(self.experiment, self.teachers, self.problem.data, self.host)
        yield from pace_steps(self.experiment, self.problem, self.plans, self.host)
        for course in self.courses():
            yield from course.steps

    def courses(self) -> Iterator[Course]:
        """Every row under every seed, seed by seed; one at a time, so that nothing grows with their number."""
        seeds = self.experiment.seeds
        for nth_seed, seed in enumerate(seeds, 1):
            for nth_row, row in enumerate(self.rows, 1):
                yield self.course(row, seed, f"row {nth_row} of {len(self.rows)}, seed {nth_seed} of {len(seeds)}")

    @property
    def rows(self) -> tuple[Row, ...]:
        """Those of the experiment, and the ceiling's."""
        return rows_of(self.experiment)

    def course(self, row: Row, seed: int, place: str = "") -> Course:
        """One row under one seed."""
        teacher_seed = self.experiment.teacher_seed(seed)
        problem, given, failure = self._taught_by(teacher_seed).in_form(row.form.component).with_seed(seed), None, None
        regimes = self.experiment.regimes
        if row.role == "ceiling":
            problem, given, regimes = whole(self.experiment, problem)
        elif self.saved is not None:
            try:
                given = Given.of(self.saved, problem, row, self._seen)
            except RunError as error:
                failure = error
        plan = self.plans.get(row.label, Plan(groups=()))
        return begun(
            Course(self.experiment, problem, row, plan, self.host, regimes, given, place, teacher_seed, failure=failure)
        )

    def _taught_by(self, teacher_seed: int) -> Problem:
        """The problem with the teachers of a seed, and images normalised as for the first seed's."""
        if not teacher_seed:
            return self.problem
        teachers, space = self.teachers[teacher_seed], self.problem.normalization
        return dataclasses.replace(self.problem, teachers=teachers, space=space)


def rows_of(experiment: Experiment) -> tuple[Row, ...]:
    """Its own, and the ceiling's."""
    if not experiment.ceiling_epochs:
        return experiment.rows
    return (*experiment.rows, Row(CEILING, "ceiling", experiment.rows[0].initializer, None, None))


def begun(course: Course) -> Course:
    """The course with all of its steps; where a component fails at telling what it will do, with those before."""
    try:
        for stage in STORY if course.failure is None else ():
            course.steps.extend(stage(course))
    except InputError:
        raise
    except Exception as error:  # in what it declares: a component costs its row
        course.failure = foreseen(error)
    if course.failure is not None:
        course.host.untold[course.row.label] = str(course.failure)
    return course


def foreseen(error: Exception) -> InputError | RunError:
    """The error, or what is told of one that nobody foresaw."""
    if isinstance(error, InputError | RunError):
        return error
    traces.give(error)
    return RunError(traces.told(error))


def prepare_run(
    experiment: Experiment,
    host: Host,
    data: RealData | None = None,
    teachers: Teachers = (),
    saved: Saved | None = None,
) -> Comparison:
    """Everything that rows share, teachers included, and the rows brought to the experiment's budget.

    `data` and `teachers` that are at hand already are taken as they are.
    """
    if saved is not None:  # what is there has its budget
        experiment = dataclasses.replace(experiment, match=None)
    comparison = outlined(experiment, host, data, saved)
    problem = comparison.problem
    host.observer.expect(expected(comparison.steps()))
    teachers = teachers or teachers_of(experiment, comparison.teachers, problem.data, host)
    problem = dataclasses.replace(problem, teachers=teachers[0])
    settled = dataclasses.replace(comparison, problem=problem, teachers=teachers)
    if experiment.match is None:
        return settled
    experiment = dataclasses.replace(experiment, rows=with_budget(experiment, problem, comparison.plans, host))
    return dataclasses.replace(settled, experiment=experiment, plans=_plans(experiment, problem, host))


def outlined(
    experiment: Experiment,
    host: Host,
    data: RealData | None = None,
    saved: Saved | None = None,
    patience: float = math.inf,
) -> Comparison:
    """What can be told before anything is computed, of data that may be loaded for so many seconds of `patience`. InputError
    for what could not go well."""
    data = data or load_data(experiment.dataset, host, patience, experiment.validate)
    check_students(experiment, data, host)
    check_stretchable(experiment)
    teachers = teachers_so_far(experiment, data, host)
    problem = Problem(
        data=data,
        teachers=teachers[0],
        ipc=experiment.ipc,
        seed=experiment.seeds[0],
        protocol=experiment.regimes[0].protocol.component,
        compute=experiment.compute,
        models=host.registry.things("model"),
        services=Services(host.store, host.observer),
    )
    check_ipc(experiment, problem)
    return Comparison(experiment, problem, _plans(experiment, problem, host), host, teachers, saved)


def run(comparison: Comparison, made: Callable[[Course], None] = lambda _course: None) -> Iterator[Measurement]:
    """Do every step, and yield one measurement for each row, seed, evaluator, regime and student; `made` is told when a row's
    set is there.

    A row that fails gives `failure` for each evaluator that has not scored it yet; the other rows still run. InputError for
    what the user has to change, as long as nothing is finished.
    """
    host = comparison.host
    host.observer.expect(expected(comparison.steps()))
    finished = False
    for course in comparison.courses():
        left = list(course.scorers)
        try:
            for scorer, measurement in run_course(course, made):
                yield measurement
                finished = finished or not measurement.failure
                left.remove(scorer)
        except Exception as error:
            if isinstance(error, InputError) and not finished:
                raise  # the user is to change something, and nothing is lost
            error = foreseen(error)  # of whatever nobody foresaw a row is lost, and not the run
            host.observer.note(f"{course.row.label}, seed {course.problem.seed}: {error}")
            yield from (course.unmeasured(scorer, str(error)) for scorer in left)
        finally:
            course.let_go()


def run_course(
    course: Course, made: Callable[[Course], None] = lambda _course: None
) -> Iterator[tuple[Scorer, Measurement]]:
    """One row under one seed. A regime that fails gives `failure` for what was to be scored under it; the others go on."""
    if course.failure is not None:
        raise course.failure
    scorers = dict(zip(course["evaluate"], course.scorers, strict=True))
    failed: set[str] = set()
    for bunch in bunches(course.steps):
        regime = bunch[0].regime
        if regime in failed:
            continue
        try:
            do(bunch)
            if bunch[0].stage == "finish":
                made(course)
            measured = [(scorers[step], course.measured(scorers[step], step)) for step in bunch if step in scorers]
            for step in bunch:  # now that they are measured: what fails above is lost with the others
                scorers.pop(step, None)
        except RunError as error:
            if not regime:
                raise
            failed.add(regime)
            course.host.observer.note(f"{course.row.label}, seed {course.problem.seed}, {regime}: {error}")
            lost = [scorer for scorer in scorers.values() if scorer.regime == regime]
            measured = [(scorer, course.unmeasured(scorer, str(error))) for scorer in lost]
        yield from measured


def load_data(dataset: Named[Dataset], host: Host, patience: float = math.inf, validate: float = 0.0) -> RealData:
    """The dataset, the share to `validate` with held out; how much there is and its notes are passed on.

    InputError where a class has no image to train or test with, or none to hold out.
    """
    with host.observer.stage("load", dataset.name, 0, "images"), host.running("dataset", dataset):
        data = dataset.component.load(Services(host.store, host.observer, patience=patience)).checked()
        data = with_validation(data, validate)
    for note in (data.summary, *data.notes):
        host.observer.note(f"{data.name}: {note}")
    return data


def check_ipc(experiment: Experiment, problem: Problem) -> None:
    """InputError for a class that has fewer images than a row takes."""
    data = problem.data
    counts = torch.bincount(data.train.targets, minlength=data.num_classes)
    fewest, name = int(counts.min()), data.class_names[int(counts.argmin())]
    for row in experiment.rows:
        wanted = problem.in_form(row.form.component)
        if fewest < wanted.count:
            of_form = f", {wanted.count} images in the form {short_name(row.form.name)}," * (
                wanted.count != experiment.ipc
            )
            raise InputError(
                f"--ipc {experiment.ipc}{of_form} is more than class {name!r} of {data.name} has: {fewest} training "
                f"image{'s' * (fewest != 1)}{' beside those held out' * (data.validation is not None)}"
            )


def check_students(experiment: Experiment, data: RealData, host: Host) -> None:
    """InputError for a student, or a teacher to squeeze, that does not exist or cannot take the images: now, not after an
    hour of distilling. A note where `--compile` has no use for any of them."""
    compiled = False
    students = [model for named in experiment.evaluators for model in named.component.trainings]
    images = experiment.ipc * data.num_classes
    sizes = {column.protocol.component.part_for(experiment.ipc, data.num_classes) for column in experiment.regimes}
    for model in dict.fromkeys([*(teacher.model for teacher in experiment.teachers if teacher.recipe), *students]):
        on_one = model in students and any(batching.single(images, size) for size in sizes)
        with host.guarding("model", model):
            network = check_built(model, data.num_classes, data.image_size, host.registry.things("model"), on_one)
        compiled = norm_relu_pool.fuse(network) or compiled
    matched = any(row.matcher and type(row.matcher.component.networks) is not Frozen for row in experiment.rows)
    if experiment.compile and not compiled and not matched:  # what matchers train is known to them alone
        host.say(
            "--compile has an operator for ConvNets with instance norm, as convnet3_in, and no network that is trained "
            "here is one"
        )


def _plans(experiment: Experiment, problem: Problem, host: Host) -> dict[str, Plan]:
    """Each row's plan; made before anything runs, so that its errors and its cost come first."""
    return {row.label: _plan(row, problem.in_form(row.form.component), host) for row in experiment.rows}


def _plan(row: Row, problem: Problem, host: Host) -> Plan:
    if row.scheduler is None:
        return Plan(groups=())
    with host.running("scheduler", row.scheduler):
        made = row.scheduler.component.plan(problem.seen_by(row.scheduler.component))
        check_plan(made, problem.num_units)
    return made
