"""What one row goes through under one seed: its steps, and what they leave once they are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from delt_host.components import Cost, Distilled, Evaluation, Labels, Start
from delt_host.errors import RunError
from delt_host.experiment import Experiment, Named, Row
from delt_host.history import History, LossCurve, recorded
from delt_host.host import Host
from delt_host.latents import Latents
from delt_host.measurement import Measurement
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.sets import RESERVED, Part
from delt_host.stages.step import Made, Step, done
from delt_host.store import Entry


@dataclass(frozen=True)
class Given:
    """A set that is there already, so that nothing is distilled."""

    key: str
    read: Callable[[], Distilled]


@dataclass(eq=False)
class Course:
    """One row under one seed. Its steps are added in their order; the properties are for when they are done."""

    experiment: Experiment
    problem: Problem
    """In the row's form, at its images per class and seed."""
    row: Row
    plan: Plan
    host: Host
    given: Given | None = None
    place: str = ""
    """Where in the run it is: `row 3 of 8, seed 1 of 3`."""
    steps: list[Step] = field(default_factory=list)
    _labels: dict[int, Labels] = field(default_factory=dict)
    failure: RunError | None = None
    """Why its steps could not be told."""

    def let_go(self) -> None:
        """Done with: its steps hold on to it, and it to tensors, which would stay until Python looks for such circles."""
        self.steps.clear()
        self._labels.clear()

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
        **more: Any,
    ) -> Step:
        """A step of this row and seed; `detail` tells it from others of its stage, as does which student of several it is."""
        label, seed = self.row.label, f"seed {self.problem.seed}"
        which = f"student {student}" if student is not None and len(self.students) > 1 else ""
        parts = (label, detail), (label, seed, which, detail)
        line, of = (", ".join(part for part in each if part) for each in parts)
        key, known = self.host.store.key(stage, inputs), self.problem.settled
        return Step(stage, line, of, inputs, key, make, known=known, **{"place": self.place, **more})

    @property
    def students(self) -> range:
        """Which students each set trains."""
        return range(self.experiment.students)

    @property
    def distils(self) -> bool:
        return self.given is None

    @property
    def optimises(self) -> bool:
        return self.distils and bool(self.plan.groups) and self.row.matcher is not None

    @cached_property
    def start(self) -> Start:
        """The images that recovery starts from; memory-mapped."""
        (step,) = self["initialize"]
        return Start(**done(step, self.host).tensors)

    def begun(self, stack: Sequence[int]) -> tuple[Latents, Plan]:
        """What some of the plan's groups start from, and the plan with their units numbered as they lie there: no step holds
        the whole set as it is optimised."""
        groups, units = list(self.plan.groups), list[int]()
        for index in stack:
            own = groups[index].images
            places = tuple(range(len(units), len(units) + len(own)))
            groups[index] = groups[index].model_copy(update={"images": places})
            units += own
        start = Latents.of(self.problem, self.start, torch.tensor(units))
        return start, self.plan.model_copy(update={"groups": tuple(groups)})

    @cached_property
    def _finished(self) -> Entry:
        (step,) = self["finish"]
        return done(step, self.host)

    @cached_property
    def distilled(self) -> Distilled:
        """What is shipped, and what students see: read from the entry that it was finished into."""
        if self.given is not None:
            return self.given.read()
        tensors, facts, problem = self._finished.tensors, self._finished.facts, self.problem
        packed = {name: tensor for name, tensor in tensors.items() if name not in RESERVED}
        return Distilled(
            form=problem.form,
            parts=(Part(packed, torch.arange(problem.num_units)),),
            targets=problem.targets(),
            fingerprint=facts["fingerprint"],
            size_bytes=facts["size_bytes"],
            labels=tensors.get("labels"),
            learning_rate=tensors.get("learning_rate"),
            cost=Cost(**facts["cost"]),
        )

    @property
    def distilled_key(self) -> str:
        """What the distilled set is known by before it is there."""
        return self.given.key if self.given is not None else self["finish"][0].key

    @property
    def makes_set(self) -> tuple[Step, ...]:
        """The step that leaves the distilled set; none where it is there already."""
        return self["finish"]

    def labels(self, student: int) -> Labels:
        """The labels of the views of one student; what takes time in making them is the step's."""
        if student not in self._labels:
            named = self.row.relabeler
            problem = self.problem.with_student(student).seen_by(named.component)
            with self.host.running("relabeler", named):
                self._labels[student] = named.component.relabel(problem, self.distilled)
        return self._labels[student]

    @cached_property
    def history(self) -> History | None:
        """How the set came to be; None where nothing was distilled."""
        if not self.distils:
            return None
        curves = tuple(LossCurve.model_validate(curve) for curve in self._finished.facts["curves"])
        return recorded(self.plan, self.start, self.problem, curves)

    def measured(self, evaluator: Named[Any], student: int, step: Step) -> Measurement:
        """What an evaluator found, once its step is done."""
        facts, problem = done(step, self.host).facts, self.problem
        ceiling = self.row.role == "ceiling"
        return Measurement(
            row=self.row,
            seed=problem.seed,
            student=student,
            evaluator=evaluator,
            evaluation=Evaluation(facts["scores"], facts["facts"]),
            plan=self.plan,
            distilled=None if ceiling else self.distilled,
            units=problem.units,
            count=problem.count,
            image_bytes=self.distilled.size_bytes,
            label_bytes=self["relabel"][0].size_bytes(),
            history=self.history,
            key=step.key,
        )
