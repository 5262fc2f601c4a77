"""The independent pieces of a run, as plain descriptions that any machine with the same packages can do.

Groups of a plan are independent, and so are students and seeds. What they share, the teacher and the images that recovery
starts from, is made before by whoever started the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from delt_host import pipeline
from delt_host.budget import sized
from delt_host.data.base import RealData
from delt_host.entry import UNKEPT, Name
from delt_host.errors import RunError
from delt_host.experiment import Experiment, Row
from delt_host.host import Host
from delt_host.keys import entries, recover_inputs
from delt_host.observer import Observer
from delt_host.plan import Plan
from delt_host.plugins import load_registry
from delt_host.problem import Problem
from delt_host.recover import stacks
from delt_host.request import Request
from delt_host.resolve import resolve
from delt_host.store import Store
from delt_host.teacher import Teacher


@dataclass(frozen=True)
class Task:
    """One piece of work, and the entry of the store that it leaves."""

    stage: Literal["recover", "relabel", "evaluate"]
    row: str
    seed: int
    part: int
    """Which stack of the plan's groups, or which evaluator."""
    entry: Name
    needs: tuple[Name, ...]
    """Entries that must be in the store before."""

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
    load: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Description:
        return cls(**json.loads(text))


def recipe_of(experiment: Experiment) -> dict[str, Any]:
    """The experiment as a recipe whose budgets are settled: nothing in it is left to be measured."""
    table = experiment.recipe()
    table.pop("match", None)
    for row, made in zip(table["row"], experiment.rows, strict=True):
        row["ipc"] = made.ipc
    return table


def tasks(experiment: Experiment, shared: Problem, plans: dict[str, Plan], host: Host) -> list[Task]:
    """What is not in the store yet, needs first. Makes the images that recovery starts from.

    A row whose start fails has no tasks: the run comes to it and says so. Nor has what is kept in this process alone.
    """
    missing: dict[Name, Task] = {}
    for seed in experiment.seeds:
        for row in experiment.rows:
            problem = sized(shared.with_seed(seed), row)
            try:
                pipeline.initialize(problem, row, host)
            except RunError:
                continue
            for task in pieces(experiment, problem, row, plans[row.label], host):
                alone = any(key.startswith(UNKEPT) for _, key in (task.entry, *task.needs))
                if not alone and not host.store.holds(*task.entry):
                    missing.setdefault(task.entry, task)
    return list(missing.values())


def pieces(experiment: Experiment, problem: Problem, row: Row, plan: Plan, host: Host) -> Iterator[Task]:
    """The tasks of one row and seed; nothing is computed."""
    made = entries(experiment, problem, row, plan, host)
    needs = [made.start]
    for part, (_, entry) in enumerate(made.groups):
        yield Task("recover", row.label, problem.seed, part, entry, (made.start,))
        needs.append(entry)
    yield Task("relabel", row.label, problem.seed, 0, made.labels, tuple(needs))
    needs.append(made.labels)
    for part, entry in enumerate(made.scores):
        yield Task("evaluate", row.label, problem.seed, part, entry, tuple(needs))


class Worker:
    """One process that does tasks of one description into its store."""

    def __init__(
        self,
        description: Description,
        store: Store,
        data: RealData | None = None,
        teachers: tuple[Teacher, ...] = (),
    ) -> None:
        """`data` and `teachers` are read from where the recipe says they lie unless they are given."""
        torch.set_num_threads(description.threads)
        registry = load_registry(description.load, description.block, description.prefer)
        self.host = Host(registry, store, Observer())
        experiment = resolve(Request.from_table(description.recipe, "the description of the run"), registry)
        store.strict = experiment.strict
        self.experiment, self.problem, self.plans = pipeline.prepare(experiment, self.host, data, teachers)

    def do(self, task: Task) -> None:
        """Leave the task's entry in the store. RunError where it fails, or where this machine would make another one."""
        host, experiment = self.host, self.experiment
        row = next(row for row in experiment.rows if row.label == task.row)
        problem, plan = sized(self.problem.with_seed(task.seed), row), self.plans[row.label]
        if task not in pieces(experiment, problem, row, plan, host):
            raise RunError(
                f"{task}: this machine makes another result than the one that asked for it; install the same versions "
                "of Python, delt-host, its plugins, and the dataset on both"
            )
        start, start_key = pipeline.initialize(problem, row, host)
        if task.stage == "recover":
            assert row.matcher is not None
            seen = problem.seen_by(row.matcher.component)
            key = host.store.key("recover", recover_inputs(problem, row.matcher, plan, start_key, host))
            stack = stacks(plan, row.matcher.component, problem.compute, problem.image_size)[task.part]
            pipeline.recover_groups(seen, row.matcher, plan, stack, start, key, host)
            return
        images, images_key, cost, _ = pipeline.recover(problem, row, plan, start, start_key, host)
        distilled, distilled_key = pipeline.finish(problem, images, images_key, cost)
        labels, labels_key = pipeline.relabel(problem, row, distilled, distilled_key, host)
        if task.stage == "evaluate":
            evaluator = experiment.evaluators[task.part]
            pipeline.evaluate(problem, row, evaluator, distilled, labels, labels_key, host)
