"""What a run has still to do, stage by stage, from plans and protocol, so that an observer can tell when it will end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from delt_host.budget import sized
from delt_host.entry import Name
from delt_host.experiment import Experiment, Row
from delt_host.host import Host
from delt_host.keys import detail, entries, teacher_inputs
from delt_host.observer import Work
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.squeeze import TeacherRecipe

FORWARD_ALONE = 1 / 3  # of the work of a pass forward and back


def forecast(
    experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host, distil: bool = True
) -> list[Work]:
    """The stages in their order; no work in those that the store has. Without `distil`, labels and scores alone.

    A problem without teachers is one before squeezing: nothing after it is looked for in the store.
    """
    return list(_Forecast(experiment, problem, plans, host, distil).works())


class _Forecast:
    def __init__(
        self, experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host, distil: bool
    ) -> None:
        self.experiment, self.problem, self.plans, self.host, self.distil = experiment, problem, plans, host, distil
        self.made: set[Name] = set()
        """Entries that the stages before will have left in the store: rows share them."""

    def works(self) -> Iterator[Work]:
        if not self.problem.teachers:
            yield from self._teachers()
        seeds, rows = self.experiment.seeds, self.experiment.rows
        count = len(rows) + bool(self.experiment.ceiling_epochs)
        for nth_seed, seed in enumerate(seeds, 1):
            problem = self.problem.with_seed(seed)
            for nth_row, row in enumerate(rows, 1):
                place = f"row {nth_row} of {count}, seed {nth_seed} of {len(seeds)}"
                yield from self._row(sized(problem, row), row, place)
            if self.experiment.ceiling_epochs:
                yield from self._ceiling(problem, f"row {count} of {count}, seed {nth_seed} of {len(seeds)}")

    def _teachers(self) -> Iterator[Work]:
        data, asked = self.problem.data, self.experiment.teachers
        for nth, recipe in enumerate(asked, 1):
            if isinstance(recipe, TeacherRecipe) and not recipe.weights:
                images = recipe.epochs * len(data.train)
                key = self.host.store.key("teacher", teacher_inputs(self.experiment, recipe, data, self.host))
                missing = self._missing(("teacher", key))
                place = f"teacher {nth} of {len(asked)}"
                yield Work("squeeze", recipe.model, recipe.model, images * missing, place)

    def _row(self, problem: Problem, row: Row, place: str) -> Iterator[Work]:
        host, plan, what = self.host, self.plans[row.label], detail(row, problem)
        views = problem.protocol.epochs * problem.num_images
        made = entries(self.experiment, problem, row, plan, host)
        if self.distil:
            # Choosing images is no such pass, and seldom takes long.
            yield Work("initialize", what, row.initializer.name, 0, place)
        if made.groups and row.matcher is not None:
            left = sum(
                plan.groups[group].image_iterations
                for stack, entry in made.groups
                if self._missing(entry)
                for group in stack
            )
            if self.distil:
                yield Work("recover", what, row.matcher.name, left, place)
        members = max(len(problem.teachers), 1) if row.relabeler.component.committee else 1
        passes = views * FORWARD_ALONE * members * (not self.distil or self._missing(made.labels))
        yield Work("relabel", what, row.relabeler.name, passes, place)
        for evaluator, entry in zip(self.experiment.evaluators, made.scores, strict=True):
            passes = views * (not self.distil or self._missing(entry))
            title = evaluator.component.title
            yield Work("evaluate", detail(row, problem, evaluator), f"{title}, {row.relabeler.name}", passes, place)

    def _ceiling(self, problem: Problem, place: str) -> Iterator[Work]:
        passes = self.experiment.ceiling_epochs * len(problem.data.train)
        for evaluator in self.experiment.evaluators:
            title = evaluator.component.title
            what = f"whole real set, seed {problem.seed}, {title}"
            yield Work("evaluate", what, f"{title}, online", passes, place)

    def _missing(self, entry: Name) -> bool:
        """Whether it will have to be made; asked again, it will have been."""
        new = entry not in self.made and not self.host.store.holds(*entry)
        self.made.add(entry)
        return new
