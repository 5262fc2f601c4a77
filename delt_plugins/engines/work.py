"""The independent pieces of a run, as plain descriptions that any machine with the same packages can do.

Groups of a plan are independent, and so are students and seeds. What they share, the teacher and the images that recovery
starts from, is made before by whoever started the run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from delt_host import InputError, Observer, RealData, RunError, Teacher
from delt_host.workshop import (
    UNKEPT,
    Comparison,
    Course,
    Experiment,
    Host,
    Name,
    Request,
    Step,
    Store,
    bunches,
    do,
    load_registry,
    prepare_run,
    resolve,
)


@dataclass(frozen=True)
class Task:
    """One piece of work, and the entry of the store that it leaves."""

    stage: str
    row: str
    seed: int
    part: int
    """Which of the steps that the row has of this stage under this seed: a stack of groups, an evaluator."""
    entry: Name
    needs: tuple[Name, ...]
    """Entries that must be in the store before."""
    passes: float = 0.0
    """Images that go through a network meanwhile, forward and back; 0: nobody knows."""

    def __str__(self) -> str:
        return f"{self.stage} {self.row}, seed {self.seed}, part {self.part}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        table = json.loads(text)
        needs = tuple((stage, key) for stage, key in table["needs"])
        return cls(**{**table, "entry": tuple(table["entry"]), "needs": needs})


@dataclass(frozen=True)
class Description:
    """All that a worker must know beside its task."""

    recipe: dict[str, Any]
    """The experiment, every option set."""
    threads: int
    """Of the processor, for each piece: sums are rounded by how they are divided."""
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """The texts of files that things of the run are in, where workers do not see them."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Description:
        return cls(**json.loads(text))


def check_device(device: str) -> None:
    """InputError for one card by its number: each piece has a card of its own, and each sees it as the first; and for cards
    that no engine asks for."""
    if not device.startswith(("cpu", "cuda")):
        raise InputError(f"--device {device} is nothing that an engine asks for; with an engine say cpu or cuda")
    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device} names one card; with an engine say cuda")


def work_of(comparison: Comparison, threads: int) -> tuple[list[Task], Description]:
    """What is to be done elsewhere, and what a worker must know of it; from here on the engine says how far it is."""
    description = Description(recipe_of(comparison.experiment), threads)
    if found := tasks(comparison):
        comparison.host.observer.expect(())
    return found, description


def recipe_of(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a recipe whose budgets are settled: nothing in it is left to be measured."""
    table = experiment.recipe()
    table.pop("match", None)
    return table


def tasks(comparison: Comparison) -> list[Task]:
    """What is not in the store yet, needs first. Does the steps that stay on this machine and that others wait for.

    What needs one of these that fails is no task: the run comes to it and says so. Nor is what is kept in this process alone.
    """
    missing = dict[Name, Task]()
    for course in comparison.courses():
        broken = set[Name]()
        for bunch in bunches(step for step in course.steps if _stays(step)):
            try:
                do(bunch)
            except RunError:
                broken |= {step.name for step in bunch}
        for task, step in pieces(course):
            alone = any(key.startswith(UNKEPT) for _, key in (task.entry, *task.needs))
            if step.kept:
                continue
            if not broken.isdisjoint(need.name for need in step.needs):
                broken.add(step.name)
            elif not alone:
                missing.setdefault(task.entry, task)
    return list(missing.values())


def _stays(step: Step) -> bool:
    """Whether it and all that it needs are done on this machine."""
    return not step.travels and all(map(_stays, step.needs))


def pieces(course: Course) -> list[tuple[Task, Step]]:
    """The tasks of one row and seed; nothing is computed."""
    row, seed = course.row.label, course.problem.seed
    found, counted = [], dict[str, int]()
    for step in course.steps:
        part = counted[step.stage] = counted.get(step.stage, -1) + 1
        if step.travels:
            needs = tuple(name for need in step.needs if need.travels or need.kept for name in need.names)
            found.append((Task(step.stage, row, seed, part, step.name, needs, step.passes), step))
    return found


class Worker:
    """One process that does tasks of one description into its store."""

    def __init__(
        self,
        description: Description,
        store: Store,
        data: RealData | None = None,
        teachers: tuple[Teacher, ...] = (),
    ) -> None:
        """`data` and `teachers` are read from where the recipe says they lie unless they are given; files that were sent are
        written below the store."""
        request = Request.from_table(description.recipe, "the description of the run")
        registry = load_registry(request.plugins, request.prefer)
        registry.files.receive(description.files, Path(store.root) / ".files")
        self.host = Host(registry, store, Observer())
        experiment = resolve(request, registry)
        store.strict = experiment.strict
        self.comparison = prepare_run(experiment, self.host, data, teachers)

    def do(self, task: Task) -> None:
        """Leave the task's entry in the store. RunError where it fails, or where this machine would make another one."""
        comparison = self.comparison
        row = next(row for row in comparison.rows if row.label == task.row)
        course = comparison.course(row, task.seed)
        if course.failure is not None:
            raise course.failure
        steps = course[task.stage]
        if task.part >= len(steps) or steps[task.part].name != task.entry:
            raise RunError(
                f"{task}: this machine makes another result than the one that asked for it; install the same versions "
                "of Python, delt-host, its plugins, and the dataset on both"
            )
        try:
            steps[task.part].entry()
        finally:
            course.let_go()
