"""What one row goes through under one seed: its steps, and what they leave once they are done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from delt_host.basics.errors import RunError
from delt_host.contracts.evaluator import Evaluation
from delt_host.contracts.initializer import Start
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.sets import RESERVED, Cost, Distilled
from delt_host.contracts.taught import Taught
from delt_host.experiment.experiment import Column, Experiment, Named, Row
from delt_host.recovery.history import History, LossCurve, recorded
from delt_host.recovery.latents import Latents
from delt_host.stages.given import Given
from delt_host.stages.host import Host
from delt_host.stages.measurement import Measurement
from delt_host.stages.step import Made, Step
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Entry


class Scorer(NamedTuple):
    """Who scores the row's set, and as what: one measurement."""

    evaluator: Named[Any]
    column: Column | None
    """The regime; None where the evaluator is per set."""
    student: int

    @property
    def regime(self) -> str:
        """The regime's name; empty without one."""
        return self.column.name if self.column else ""


@dataclass(eq=False)
class Course:
    """One row under one seed. Its steps are added in their order; the properties are for when they are done."""

    experiment: Experiment
    problem: Problem
    """In the row's form, under its seed, and the first regime's protocol, which nothing before the labels looks at."""
    row: Row
    plan: Plan
    host: Host
    regimes: tuple[Column, ...]
    """The experiment's, the ceiling's with its own epochs."""
    given: Given | None = None
    place: str = ""
    """Where in the run it is: `row 3 of 8, seed 1 of 3`."""
    steps: list[Step] = field(default_factory=list)
    _taught: dict[tuple[str, int], Taught] = field(default_factory=dict)
    failure: Exception | None = None
    """Why its steps could not be told."""

    def let_go(self) -> None:
        """Done with: its steps hold on to it, and it to tensors, which would stay until Python looks for such circles."""
        self.steps.clear()
        self._taught.clear()

    def __getitem__(self, stage: str) -> tuple[Step, ...]:
        """The steps of one stage."""
        return tuple(step for step in self.steps if step.stage == stage)

    def step(
        self,
        stage: str,
        inputs: Mapping[str, Any],
        make: Callable[[Checkpoint], Made],
        detail: str = "",
        student: int | None = None,
        column: Column | None = None,
        **more: Any,
    ) -> Step:
        """A step of this row and seed; `detail` tells it from others of its stage, as do the regime and the student where
        there are several."""
        label, seed = self.row.label, f"seed {self.problem.seed}"
        which = f"student {student}" if student is not None and self.experiment.students > 1 else ""
        told = column.name if column is not None and len(self.regimes) > 1 else ""
        parts = (label, told, detail), (label, seed, told, which, detail)
        line, of = (", ".join(part for part in each if part) for each in parts)
        more = {
            "place": self.place,
            "regime": column.name if column is not None else "",
            "student": student or 0,
            **more,
        }
        return Step(self.host, stage, line, inputs, make, of, known=self.problem.settled, **more)

    @property
    def stores(self) -> bool:
        """Whether labels are stored. Those of the whole real set would take thousands of times the place."""
        return self.row.role != "ceiling"

    @property
    def tellings(self) -> list[tuple[Column, int]]:
        """Each student under each regime; the steps that label and that score are in this order."""
        return list(product(self.regimes, range(self.experiment.students)))

    @property
    def scorers(self) -> list[Scorer]:
        """Who scores the set: those that are per set once, then the others under each regime for each student."""
        evaluators = self.experiment.evaluators
        once = [Scorer(named, None, 0) for named in evaluators if named.component.per == "set"]
        return once + [
            Scorer(named, column, student)
            for column, student in self.tellings
            for named in evaluators
            if named.component.per == "regime"
        ]

    def under(self, column: Column | None, student: int = 0) -> Problem:
        """The problem of a student under a regime; without one, of the set."""
        if column is None:
            return self.problem
        return self.problem.under(column.protocol.component).with_student(student)

    @property
    def distils(self) -> bool:
        return self.given is None

    def blocks_of(self, units: Tensor) -> tuple[Step, ...]:
        """The steps that make the starts of these units (U,)."""
        classes = set((units // self.problem.units).tolist())
        return tuple(step for step in self["initialize"] if classes.intersection(range(*step.inputs["classes"])))

    def start(self, units: Tensor) -> Start:
        """What recovery of these units (U,) starts from, in this order; one block is in memory at a time."""
        cells, a_class = self.problem.form.cells, self.problem.units
        found, order = list[Start](), list[Tensor]()
        for step in self.blocks_of(units):
            first, stop = (a_class * label for label in step.inputs["classes"])
            here = ((units >= first) & (units < stop)).nonzero().flatten()
            block, own = Start(**step.entry().tensors), units[here] - first
            images = block.images[(own[:, None] * cells + torch.arange(cells)).flatten()]
            found.append(Start(images, None if block.labels is None else block.labels[own], block.learning_rate))
            order.append(here)
        if len({(start.images.dtype, start.labels is None) for start in found}) > 1:
            raise RunError(
                f"the initializer {self.row.initializer.name} gave some classes images or labels of another type"
            )
        if len(found) == 1 and torch.equal(order[0], torch.arange(len(units))):
            return found[0]
        back = torch.cat(order).argsort()
        labels = [start.labels for start in found if start.labels is not None]
        return Start(
            torch.cat([start.images.unflatten(0, (-1, cells)) for start in found])[back].flatten(0, 1),
            torch.cat(labels)[back] if labels else None,
            found[0].learning_rate,
        )

    def units_of(self, stack: Sequence[int]) -> Tensor:
        """(U,) int64: the places of the units in these of the plan's groups, in the groups' order."""
        return torch.tensor([unit for index in stack for unit in self.plan.groups[index].images])

    def begun(self, stack: Sequence[int]) -> Latents:
        """What these of the plan's groups start from: no step holds the whole set as it is optimised."""
        units = self.units_of(stack)
        start = self.start(units)
        with self.host.running("form", self.row.form):
            return Latents.of(self.problem, start, units)

    @cached_property
    def _finished(self) -> Entry:
        (step,) = self["finish"]
        return step.entry()

    @cached_property
    def distilled(self) -> Distilled:
        """What is shipped, and what students see: read from the entry that it was finished into."""
        if self.given is not None:
            return self.given.read()
        tensors, facts, problem = self._finished.tensors, self._finished.facts, self.problem
        packed = {name: tensor for name, tensor in tensors.items() if name not in RESERVED}
        return Distilled(
            form=problem.form,
            packed=packed,
            targets=problem.targets(),
            fingerprint=facts["fingerprint"],
            labels=tensors.get("labels"),
            learning_rate=tensors.get("learning_rate"),
            cost=Cost(**facts["cost"]),
        )

    @property
    def distilled_key(self) -> str:
        """What the distilled set is known by before it is there."""
        return self.given.key if self.given is not None else self["finish"][0].key

    def taught(self, column: Column, student: int) -> Taught:
        """What an evaluator is told of a regime, for one student."""
        place = column.name, student
        if place not in self._taught:
            taught = Taught(self.under(column, student), column.relabeler.component, self.distilled, self.stores)
            with self.host.running("relabeler", column.relabeler):
                _ = taught.labels  # what goes wrong in them is the relabeler's
            self._taught[place] = taught
        return self._taught[place]

    def labels_steps(self, column: Column, student: int) -> tuple[Step, ...]:
        """The steps that make these labels, in the order of the epochs."""
        return tuple(step for step in self["relabel"] if (step.regime, step.student) == (column.name, student))

    @cached_property
    def history(self) -> History | None:
        """How the set came to be; None where nothing was distilled."""
        if not self.distils:
            return None
        curves = tuple(LossCurve.model_validate(curve) for curve in self._finished.facts["curves"])
        with self.host.running("form", self.row.form):
            return recorded(self.plan, self.start, self.problem, curves)

    def measured(self, scorer: Scorer, step: Step) -> Measurement:
        """What an evaluator found, once its step is done."""
        facts = step.entry().facts
        return dataclasses.replace(
            self.unmeasured(scorer, ""),
            evaluation=Evaluation(facts["scores"], facts["facts"]),
            distilled=None if self.row.role == "ceiling" else self.distilled,
            image_bytes=self.distilled.size_bytes,
            label_bytes=sum(step.size_bytes() for step in self.labels_steps(scorer.column, 0)) if scorer.column else 0,
            history=self.history,
            key=step.key,
        )

    def unmeasured(self, scorer: Scorer, failure: str) -> Measurement:
        """The same of one that found nothing, and why."""
        problem = self.problem
        return Measurement(
            self.row,
            problem.seed,
            scorer.evaluator,
            scorer.regime,
            scorer.student,
            plan=self.plan,
            units=problem.units,
            count=problem.count,
            failure=failure,
        )
