"""Who does tasks: one process, on whatever machine, which has data and teachers from its first piece to its last."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from delt_host.basics.errors import RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.observer import Observer
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.runs.saved_sets import SavedSets
from delt_host.spread.task import Description, Task
from delt_host.stages.host import Host
from delt_host.stages.story import prepare_run
from delt_host.store.store import Store


class AnotherResult(RunError):
    """What is installed here would make another result than was asked for."""


class Worker:
    """One process that does tasks of one description into its store."""

    def __init__(
        self,
        description: Description,
        store: Store,
        data: RealData | None = None,
        teachers: tuple[tuple[Teacher, ...], ...] = (),
        observer: Observer | None = None,
    ) -> None:
        """`data` and `teachers`, those of each seed of teachers, are read from where the recipe says they lie unless they are
        given; files that were sent are written below the store. `observer` hears of the steps; nobody by default."""
        request = Request.from_table(description.recipe, "the description of the run")
        registry = load_registry(request.plugins, request.prefer)
        registry.files.receive(description.files, Path(store.root) / ".files")
        self.host = Host(registry, store, observer or Observer())
        experiment = resolve(request, registry, makes_images=not description.of_run)
        store.strict = experiment.strict
        saved = SavedSets(Path(description.of_run), partial(registry.get, "form")) if description.of_run else None
        self.comparison = prepare_run(experiment, self.host, data, teachers, saved)

    def do(self, task: Task) -> None:
        """Leave the task's entry in the store. RunError where it fails, AnotherResult where this process would make another."""
        comparison = self.comparison
        row = next(row for row in comparison.rows if row.label == task.row)
        course = comparison.course(row, task.seed)
        if course.failure is not None:
            raise course.failure
        steps = course[task.stage]
        if task.part >= len(steps) or steps[task.part].name != task.entry:
            raise AnotherResult(
                f"{task}: this machine makes another result than the one that asked for it; install the same versions "
                "of Python, delt-host, its plugins, and the dataset on both"
            )
        try:
            steps[task.part].entry()
        finally:
            course.let_go()
