"""What one row goes through under one seed: its steps, and what they leave once they are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from delt_host.codec import through_codec
from delt_host.components import Cost, Distilled, Evaluation, ImageSet, Labels
from delt_host.entry import key_of
from delt_host.errors import RunError
from delt_host.experiment import Experiment, Named, Row
from delt_host.history import History, LossCurve, averaged, recorded
from delt_host.host import Host
from delt_host.latents import Latents, unstacked
from delt_host.measurement import Measurement
from delt_host.normalization import Normalization
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.recover import assemble
from delt_host.resume import Checkpoint
from delt_host.stages.step import Made, Step, done


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
    """At the row's images per class and seed."""
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
    def start(self) -> ImageSet:
        """The images that recovery starts from."""
        (step,) = self["initialize"]
        tensors = done(step, self.host).tensors
        return ImageSet(tensors["images"], tensors["targets"])

    @cached_property
    def _recovered(self) -> tuple[Latents, Cost, tuple[LossCurve, ...]]:
        """The optimised set, what that took, and how the losses fell."""
        start = Latents.of(self.problem, self.start)
        if not self.optimises:
            return start, Cost(), ()
        groups: list[Latents] = []
        seconds, peaks, curves = 0.0, [], []
        for step in self["recover"]:
            entry = done(step, self.host)
            groups += unstacked(entry.tensors)
            seconds += entry.facts["seconds"]
            peaks.append(entry.facts["peak_bytes"])
            curves += entry.facts["curves"]
        (count,) = self["count"]
        counted = done(count, self.host).facts["multiply_adds"]
        cost = Cost(self.plan.image_iterations, counted, seconds, max(peaks))
        return assemble(start, self.plan, groups), cost, averaged(curves)

    @cached_property
    def distilled(self) -> Distilled:
        """Pixels as whole numbers, through the protocol's codec: what is shipped, and what students see."""
        if self.given is not None:
            return self.given.read()
        latents, cost, _ = self._recovered
        protocol, images = self.problem.protocol, self.problem.form.decode(latents.images)
        pixels = self.problem.normalization.denormalize(images, protocol.rounding)
        made = Distilled(pixels, self.problem.targets(), cost, latents.labels, latents.learning_rate)
        return through_codec(made, protocol.codec)

    @cached_property
    def distilled_key(self) -> str:
        """What the distilled set is known by before it is there."""
        if self.given is not None:
            return self.given.key
        # Which groups went through one pass together decides how sums were rounded; rows that differ in the residual alone
        # share what was recovered.
        made = [step.key for step in self["recover"]] or [self["initialize"][0].key]
        images = key_of([made, self.plan.residual]) if self.plan.residual else made
        protocol = self.problem.protocol
        return key_of([images, protocol.rounding, protocol.codec, self.host.code_of(Normalization, through_codec)])

    @property
    def makes_set(self) -> tuple[Step, ...]:
        """The steps that leave the distilled set."""
        return (*self["initialize"], *self["recover"], *self["count"])

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
        return recorded(self.plan, self.start, self.problem.normalization, self._recovered[2])

    def measured(self, evaluator: Named[Any], student: int, step: Step) -> Measurement:
        """What an evaluator found, once its step is done."""
        facts, problem = done(step, self.host).facts, self.problem
        ceiling = self.row.role == "ceiling"
        count = len(problem.data.train) if ceiling else problem.num_images
        return Measurement(
            row=self.row,
            seed=problem.seed,
            student=student,
            evaluator=evaluator,
            evaluation=Evaluation(facts["scores"], facts["facts"]),
            plan=self.plan,
            distilled=None if ceiling else self.distilled,
            image_bytes=count * 3 * problem.image_size**2,
            label_bytes=self["relabel"][0].size_bytes(),
            history=self.history,
            key=step.key,
        )
