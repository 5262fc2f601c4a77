"""What is to be run, fully resolved: every option of every part, from which `experiment.toml` is written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import tomli_w

from delt_host.basics.compute import Compute
from delt_host.basics.durations import written
from delt_host.basics.errors import InputError
from delt_host.basics.file_words import short_name
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import Dataset
from delt_host.contracts.evaluator import Evaluator
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.initializer import Initializer
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.protocol import Protocol, titled
from delt_host.contracts.relabeler import Relabeler
from delt_host.contracts.scheduler import Scheduler
from delt_host.contracts.squeezer import Squeezer
from delt_host.contracts.teacher import Teacher, Trained
from delt_host.experiment.words import BUDGETS, NO_TEACHER

Role = Literal["method", "baseline", "control", "ceiling"]


Part = TypeVar("Part", bound=Component, covariant=True)


@dataclass(frozen=True)
class Named(Generic[Part]):
    """A component with the name it was asked for by."""

    name: str
    component: Part

    def table(self) -> dict[str, Any]:
        """As a recipe has it: all options, but for teachers where none is asked by name."""
        default = type(self.component).model_fields.get("teachers")
        unasked = default is not None and default.default == () == getattr(self.component, "teachers", None)
        options = self.component.model_dump(mode="json", exclude={"teachers"} if unasked else None)
        return {"name": self.name, **options}


@dataclass(frozen=True)
class AskedTeacher:
    """A teacher as it was asked for: by a squeezer, or by a file."""

    made_by: Named[Squeezer] | Path | Teacher | Trained
    """A squeezer, a file, or the teacher itself."""
    model: str
    """The name of its network."""
    given_name: str = ""
    """The name that the recipe gives it; empty: it goes by its model's."""
    seed: int = 0
    """Which of the run's seeds of teachers it is of, counted from 0: this much is added to its squeezer's own."""

    @property
    def name(self) -> str:
        """What components ask for it by."""
        return self.given_name or self.model

    @property
    def origin(self) -> str:
        """Where one that is not squeezed comes from."""
        return str(self.made_by) if isinstance(self.made_by, Path) else "Python"

    @property
    def recipe(self) -> dict[str, Any]:
        """How it is squeezed, by the squeezer's name and all of its options; empty for one from a file."""
        if not isinstance(self.made_by, Named):
            return {}
        table = self.made_by.table()
        return {"squeezer": table.pop("name"), **table}

    def with_seed(self, seed: int) -> AskedTeacher:
        """The same network trained from another seed; one that is trained already is what it is."""
        if not isinstance(self.made_by, Named) or not seed:
            return self
        squeezer = self.made_by.component
        another = squeezer.model_copy(update={"seed": getattr(squeezer, "seed", 0) + seed})
        return dataclasses.replace(self, made_by=Named(self.made_by.name, another), seed=seed)

    def table(self) -> dict[str, Any]:
        """As a recipe file has it."""
        named = {"name": self.given_name} if self.given_name else {}
        if isinstance(self.made_by, Path):
            return named | {"file": str(self.made_by)}
        return named | (self.recipe or {"model": self.model})


PIXELS: Named[Form] = Named("pixels", Pixels())
"""The form of rows that say none."""


@dataclass(frozen=True)
class Budget:
    """What every row is given alike."""

    of: Literal["image-iterations", "seconds"]
    amount: float = 0.0
    """0: what the first row takes."""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """``seconds`` or ``seconds=120``; InputError for anything else."""
        of, equals, amount = text.partition("=")
        try:
            if of not in BUDGETS or (equals and not 0 < float(amount) < float("inf")):
                raise ValueError
        except ValueError:
            raise InputError(
                f"--match {text}: it is one of {', '.join(BUDGETS)}, or one with =AMOUNT above 0"
            ) from None
        return cls(of, float(amount) if equals else 0.0)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.of}={self.amount:g}" if self.amount else self.of


@dataclass(frozen=True)
class Published:
    """What a row's method is published with, for this dataset and IPC."""

    method: str
    """Its own, or the one that this is a preset of."""
    scheduler: Named[Scheduler] | None
    form: Named[Form]
    protocol: Protocol | None
    """None where its regime is not known here."""


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a method with its components."""

    label: str
    role: Role
    initializer: Named[Initializer]
    scheduler: Named[Scheduler] | None = None
    matcher: Named[Matcher] | None = None
    form: Named[Form] = PIXELS
    """How its images are stored."""
    method: str = ""
    """The method it was made from."""
    matched: str = ""
    """How the row was brought to the experiment's budget."""
    name: str = ""
    """What of the label is no option's; empty: all of it."""
    varied: tuple[str, ...] = ()
    """The components, by stage, and options, by dotted name, that were asked for beside its method."""
    published: Published | None = field(default=None, compare=False)
    """What its iterations and its students' steps are held against; None where there is nothing."""

    def stages(self) -> dict[str, Named[Component]]:
        """The components by stage, without those that are not used."""
        stages = ("form", "initializer", "scheduler", "matcher")
        return {stage: named for stage in stages if (named := getattr(self, stage)) is not None}

    def same_images(self, other: Row) -> bool:
        """Whether the two make the same images."""
        return self.stages() == other.stages()


@dataclass(frozen=True)
class Column:
    """One regime of the comparison, with its components: what students are told, whatever the row."""

    name: str
    relabeler: Named[Relabeler]
    protocol: Named[Protocol]

    @property
    def protocol_title(self) -> str:
        """`fair v2 (epochs=60)`."""
        return titled(short_name(self.protocol.name), self.protocol.component)

    def same(self, other: Column) -> bool:
        """Whether students are told and trained alike."""
        return (self.relabeler, self.protocol) == (other.relabeler, other.protocol)

    def table(self) -> dict[str, Any]:
        return {"name": self.name, "relabeler": self.relabeler.table(), "protocol": self.protocol.table()}


@dataclass(frozen=True)
class Experiment:
    """Everything a run depends on."""

    dataset: Named[Dataset]
    teachers: tuple[AskedTeacher, ...]
    """The first gives the normalisation, and is whom components ask that name none; there may be none."""
    regimes: tuple[Column, ...]
    """Each row is scored under each, on the same images; at least one."""
    ipc: int
    seeds: tuple[int, ...]
    """Of sets: each draws starts and recovery."""
    rows: tuple[Row, ...]
    evaluators: tuple[Named[Evaluator], ...]
    device: str
    precision: str
    students: int = 1
    """How many students each set trains; one more draws other weights, views and dropout."""
    teacher_seeds: int = 1
    """T: how many times each teacher is squeezed; the i-th set is made and labelled with those of seed i mod T."""
    stack: int = 0
    """Groups that recovery puts into one forward pass; 0: by the size of the images."""
    threads: int = 1
    """Of the processor, for each piece of work: sums are rounded by how they are divided."""
    strict: bool = False
    """Whether no result is used that was made with another number of threads or other versions of libraries."""
    compile: bool = False
    """Whether networks go through operators compiled on this machine where they have use for one."""
    plugins: tuple[str, ...] = ()
    """Those that are loaded or left out by name, as ``-p`` takes them."""
    prefer: tuple[str, ...] = ()
    """Distributions whose things are taken where several plugins provide one name."""
    match: Budget | None = None
    """The budget that all rows are brought to; None: each has its own."""
    ceiling_epochs: int = 0
    """Epochs of the student on the whole real set; 0: no such row."""
    resolve: float | None = None
    """The half width, in the evaluator's unit, to which differences from the reference are to be told; None: nobody says."""
    budget: float | None = None
    """Seconds that the run is to take at most; None: as many as it takes."""
    pilot: int = 0
    """How many of the first sets, of each seed of teachers, have decided how many sets and students there are; 0: none yet, or
    nothing was to be decided."""
    validate: float = 0.0
    """The share of each class's training images that is held out, and scored on in place of test images; 0: none."""
    objects: tuple[str, ...] = ()
    """What was given as objects in Python, by kind and name: no recipe repeats it."""
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def teachers_by_seed(self) -> tuple[tuple[AskedTeacher, ...], ...]:
        """The teachers of each seed of teachers; at least one."""
        return tuple(tuple(each.with_seed(n) for each in self.teachers) for n in range(self.teacher_seeds))

    def teacher_seed(self, seed: int) -> int:
        """Which seed of teachers the set of a seed is made and labelled with."""
        return self.seeds.index(seed) % self.teacher_seeds

    @property
    def undecided(self) -> bool:
        """Whether its seeds and students are those of a pilot, which is to decide how many there are."""
        return not self.pilot and (self.resolve is not None or self.budget is not None)

    @property
    def compute(self) -> Compute:
        return Compute.choose(self.device, self.precision, self.stack, self.compile)

    def table(self) -> dict[str, Any]:
        """The recipe file that repeats this run."""
        plain = (
            "ipc",
            "seeds",
            "students",
            "teacher_seeds",
            "device",
            "precision",
            "stack",
            "threads",
            "strict",
            "compile",
        )
        said = {name: getattr(self, name) for name in (*plain, "plugins", "prefer", "ceiling_epochs", "validate")}
        return {
            **{name: list(value) if isinstance(value, tuple) else value for name, value in said.items()},
            **({"seeds": None} if self.undecided else {}),
            "match": str(self.match) if self.match else None,
            "resolve": self.resolve,
            "budget": None if self.budget is None else written(self.budget),
            "pilot": self.pilot or None,
            "objects": list(self.objects) or None,
            "dataset": self.dataset.table(),
            "teacher": [teacher.table() for teacher in self.teachers] or [NO_TEACHER],
            "regime": [column.table() for column in self.regimes],
            "evaluator": [named.table() for named in self.evaluators],
            "row": [
                {"label": row.label, "role": row.role, "method": row.method}
                | ({"name": row.name, "varied": list(row.varied)} if row.varied else {})
                | {stage: named.table() for stage, named in row.stages().items()}
                for row in self.rows
            ],
        }

    def recipe(self) -> dict[str, Any]:
        """The same without what is None, which TOML does not know: left out, it is read back as its default."""
        recipe: dict[str, Any] = _without_none(self.table())
        return recipe

    def to_toml(self) -> str:
        return tomli_w.dumps(self.recipe())


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(v) for v in value]
    return value
