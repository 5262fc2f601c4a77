"""The independent pieces of a run, as plain descriptions that any process with the same packages can do.

Groups of a plan are independent, and so are students and seeds. What they share, the teacher and, between machines, the
images that recovery starts from, is made before by whoever started the run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from delt_host.basics.errors import RunError
from delt_host.runs.saved_sets import SavedSets
from delt_host.stages.course import Course
from delt_host.stages.step import Step, bunches, do
from delt_host.stages.story import Comparison
from delt_host.store.entry import UNKEPT, Name


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
    of_run: str = ""
    """The folder of the run whose sets are scored anew; empty: sets are made."""

    @classmethod
    def of(cls, comparison: Comparison, threads: int) -> Description:
        """Of a prepared run whose budgets are settled: nothing in it is left to be measured."""
        recipe, saved = comparison.experiment.recipe(), comparison.saved
        recipe.pop("match", None)
        return cls(recipe, threads, of_run=str(saved.path) if isinstance(saved, SavedSets) else "")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Description:
        return cls(**json.loads(text))


def tasks(comparison: Comparison, here: bool = False) -> list[Task]:
    """What is not in the store yet, needs first; of processes on this machine (`here`), which have its store, all of it.

    Otherwise the steps that stay on this machine and that others wait for are done now. What needs one of these that fails is
    no task: the run comes to it and says so. Nor is what failed before, or is kept in this process alone.
    """
    missing, failed = dict[Name, Task](), comparison.host.store.failed
    for course in comparison.courses():
        broken = set[Name]()
        for bunch in bunches(step for step in course.steps if not here and _stays(step)):
            try:
                do(bunch)
            except RunError:
                broken |= {step.name for step in bunch}
        for task, step in pieces(course, here):
            alone = any(key.startswith(UNKEPT) for _, key in (task.entry, *task.needs))
            if step.kept:
                continue
            if step.name in failed or not broken.isdisjoint(need.name for need in step.needs):
                broken.add(step.name)
            elif not alone:
                missing.setdefault(task.entry, task)
        course.let_go()
    return list(missing.values())


def _stays(step: Step) -> bool:
    """Whether it and all that it needs are done on this machine."""
    return not step.travels and all(map(_stays, step.needs))


def pieces(course: Course, here: bool = False) -> list[tuple[Task, Step]]:
    """The tasks of one row and seed, those for processes on this machine if they are `here`; nothing is computed."""
    row, seed = course.row.label, course.problem.seed
    found, counted = [], dict[str, int]()
    for step in course.steps:
        part = counted[step.stage] = counted.get(step.stage, -1) + 1
        if step.travels or here:
            needs = tuple(name for need in step.needs if need.travels or need.kept or here for name in need.names)
            found.append((Task(step.stage, row, seed, part, step.name, needs, step.passes), step))
    return found
