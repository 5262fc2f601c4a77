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
from delt_host.contracts.packed import Packed, Piece, check_packed
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.sets import Cost, Distilled
from delt_host.contracts.taught import Taught
from delt_host.experiment.experiment import Column, Experiment, Named, Row
from delt_host.recovery.history import History, LossCurve, recorded
from delt_host.recovery.latents import Latents
from delt_host.stages.given import Given
from delt_host.stages.host import Host
from delt_host.stages.measurement import Measurement
from delt_host.stages.step import Made, Step, seconds_of
from delt_host.store.resume import Checkpoint

OWN = ("initialize", "recover", "count", "pack", "finish")
"""The stages of a set alone: what rows share is prepared before."""


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
    teacher_seed: int = 0
    """Which of the run's seeds of teachers its teachers are of."""
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
        """What recovery of these units (U,) starts from, in this order."""
        cells, a_class = self.problem.form.cells, self.problem.units
        images, labels, rate = list[Tensor](), list[Tensor](), None
        order = list[Tensor]()
        for step in self.blocks_of(units):
            first, stop = (a_class * label for label in step.inputs["classes"])
            here = ((units >= first) & (units < stop)).nonzero().flatten()
            rows, own = step.opened().rows, units[here] - first
            images.append(rows.read("images", (own[:, None] * cells + torch.arange(cells)).flatten()))
            if "labels" in rows.names:
                labels.append(rows.read("labels", own))
            if rate is None and "learning_rate" in rows.names:
                rate = rows.read("learning_rate")
            order.append(here)
        if len({each.dtype for each in images}) > 1 or len(labels) not in (0, len(images)):
            raise RunError(
                f"the initializer {self.row.initializer.name} gave some classes images or labels of another type"
            )
        back = torch.cat(order).argsort()
        return Start(
            torch.cat([each.unflatten(0, (-1, cells)) for each in images])[back].flatten(0, 1),
            torch.cat(labels)[back] if labels else None,
            rate,
        )

    def units_of(self, stack: Sequence[int]) -> Tensor:
        """(U,) int64: the places of the units in these of the plan's groups, in the groups' order."""
        return torch.tensor([unit for index in stack for unit in self.plan.groups[index].images], dtype=torch.int64)

    def begun(self, stack: Sequence[int]) -> Latents:
        """What these of the plan's groups start from: no step holds the whole set as it is optimised."""
        units = self.units_of(stack)
        start = self.start(units)
        with self.host.running("form", self.row.form):
            return Latents.of(self.problem, start, units)

    def size_of(self, units: int) -> int:
        """Bytes of so many units as they are kept, about: a form's units take no more than the raw images of IPC."""
        problem = self.problem
        learns = any("labels" in phase.rates for group in self.plan.groups for phase in group.phases)
        raw = problem.ipc * 3 * problem.image_size**2 / problem.units
        return round(units * (raw + (4 * problem.num_classes if learns else 0)))

    def packed(self, latents: Latents) -> dict[str, Tensor]:
        """Units as they are kept: what the row's form packs, and what was learned of them."""
        form, problem = self.problem.form, self.problem
        with self.host.running("form", self.row.form):
            packed = form.pack(latents.images, problem.normalization)
            check_packed(form, packed, len(latents.targets), problem.image_size)
        learned = {"labels": latents.labels, "learning_rate": latents.learning_rate}
        return packed | {name: each for name, each in learned.items() if each is not None}

    @property
    def left(self) -> Tensor:
        """(U,) int64: the units in no group of the plan, which nothing is done to."""
        free = torch.ones(self.problem.num_units, dtype=torch.bool)
        free[self.units_of(range(len(self.plan.groups)))] = False
        return free.nonzero().flatten()

    @property
    def packing(self) -> tuple[Step, ...]:
        """The steps whose entries the set lies in."""
        return (*self["recover"], *self["pack"])

    @cached_property
    def pieces(self) -> list[Piece]:
        """The set as it lies in the store."""
        recovered = [Piece(step.opened().rows, self.units_of(step.inputs["groups"])) for step in self["recover"]]
        return recovered + [Piece(step.opened().rows, torch.tensor(step.inputs["units"])) for step in self["pack"]]

    @cached_property
    def learned(self) -> dict[str, Tensor]:
        """What of the set was learned beside its images."""
        found = dict[str, Tensor]()
        if all("labels" in piece.rows.names for piece in self.pieces):
            units = torch.cat([piece.units for piece in self.pieces])
            found["labels"] = torch.cat([piece.rows.read("labels") for piece in self.pieces])[units.argsort()]
        for piece in reversed(self.pieces):  # the first is that of what was recovered
            if "learning_rate" in piece.rows.names:
                found["learning_rate"] = piece.rows.read("learning_rate")
        return found

    @cached_property
    def distilled(self) -> Distilled:
        """What is shipped, and what students see: read from the entries that its units were packed into."""
        if self.given is not None:
            return self.given.read()
        facts, problem = self._finished, self.problem
        with self.host.running("form", self.row.form):
            packed = Packed(self.pieces)
        return Distilled(
            form=problem.form,
            packed=packed,
            targets=problem.targets(),
            fingerprint=facts["fingerprint"],
            cost=Cost(**facts["cost"]),
            labels=self.learned.get("labels"),
            learning_rate=self.learned.get("learning_rate"),
        )

    @cached_property
    def _finished(self) -> dict[str, Any]:
        (step,) = self["finish"]
        return step.entry().facts

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

    @property
    def history(self) -> History:
        """How the set came to be that was distilled here."""
        curves = tuple(LossCurve.model_validate(curve) for curve in self._finished["curves"])
        with self.host.running("form", self.row.form):
            return recorded(self.plan, self.start, self.problem, curves)

    @cached_property
    def set_seconds(self) -> float | None:
        """Of all that was made for the set up to its images, whenever that was; None where it is not kept. Nothing was made for
        the whole real set."""
        if self.given is not None:
            return 0.0 if self.row.role == "ceiling" else None
        return seconds_of(step for step in self.steps if step.stage in OWN)

    def measured(self, scorer: Scorer, step: Step) -> Measurement:
        """What an evaluator found, once its step is done."""
        facts = step.entry().facts
        return dataclasses.replace(
            self.unmeasured(scorer, ""),
            evaluation=Evaluation(facts["scores"], facts["facts"]),
            distilled=None if self.row.role == "ceiling" else self.distilled,
            cost=None if self.row.role == "ceiling" else self.distilled.cost,
            image_bytes=self.distilled.size_bytes,
            label_bytes=sum(step.size_bytes() for step in self.labels_steps(scorer.column, 0)) if scorer.column else 0,
            set_seconds=self.set_seconds,
            seconds=seconds_of((*(self.labels_steps(scorer.column, scorer.student) if scorer.column else ()), step)),
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
            self.teacher_seed,
            plan=self.plan,
            units=problem.units,
            count=problem.count,
            split=problem.data.split,
            failure=failure,
        )
