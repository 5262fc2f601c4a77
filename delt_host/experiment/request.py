"""What a user asks for, as flags or as a recipe file: the same keys, read and checked, not yet resolved."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, InstanceOf, field_validator

from delt_host.basics.errors import InputError
from delt_host.basics.file_words import file_word
from delt_host.basics.options import build, parse_assignment
from delt_host.basics.settings import LARGEST, Numbers, shown
from delt_host.contracts.teacher import Teacher, Trained
from delt_host.experiment.words import NO_TEACHER

ROW_PARTS = ("initializer", "scheduler", "matcher", "form")
"""What a row is made of, and a spec or a flag may swap."""
DEFAULT_SEEDS = 3
MOST_SEEDS = 1000


with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # pydantic has a deprecated method of that name, which nobody calls

    class Validated(Numbers):
        """What is scored on."""

        validate: float | None = None  # type: ignore[assignment]
        """The share of each class's training images to hold out, and to score on in place of test images."""


class Request(Validated):
    """What a recipe file or the command line says; both have the same keys. None and empty mean: not said."""

    model_config = ConfigDict(extra="forbid")

    dataset: Any = None
    """Its name, ``NAME:PATH``, or a table of the name and options; a list of these for a run on each."""
    teacher: list[str | dict[str, Any] | InstanceOf[Teacher] | InstanceOf[Trained]] = Field(default_factory=list)
    """Models to squeeze, teachers' files, or tables of a squeezer's options; `none` for a run without."""
    regime: list[str | dict[str, Any]] = Field(default_factory=list)
    """What students are told: names, ``RELABELER:PROTOCOL``, or tables of both with their options."""
    ipc: int | list[int] | None = None
    """Images a class; a list for a run with each."""
    seeds: Any = None
    """How many, or which; see `parse_seeds`."""
    students: int | None = None
    teacher_seeds: int | None = None
    """How many times each teacher is squeezed; sets take turns."""
    resolve: float | None = None
    """The half width to which differences are to be told; a pilot decides how many sets and students that takes."""
    budget: str | float | None = None
    """What the run is to take at most: ``2h``, ``1h30m``, or seconds."""
    pilot: int | None = None
    """Of a run that has decided: how many of its first sets did."""
    method: list[str] = Field(default_factory=list)
    baseline: list[str] = Field(default_factory=list)
    control: list[str] | None = None
    student: list[str] = Field(default_factory=list)
    evaluator: list[str | dict[str, Any]] = Field(default_factory=list)
    initializer: str | None = None
    scheduler: str | None = None
    matcher: str | None = None
    form: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """New methods of this recipe by name; see `delt_host.contracts.methods.Method`."""
    row: list[dict[str, Any]] = Field(default_factory=list)
    plugins: list[str] = Field(default_factory=list)
    """Plugins by name to load, or as ``no:NAME`` to leave out."""
    prefer: list[str] = Field(default_factory=list)
    """Distributions whose things are taken where several plugins provide one name, the first before the later ones."""
    device: str | None = None
    precision: str | None = None
    stack: int | None = None
    threads: int | None = None
    strict: bool = False
    compile: bool = False
    match: str | None = None
    objects: list[str] = Field(default_factory=list)
    """What an earlier run was given as objects in Python."""
    ceiling: bool = False
    ceiling_epochs: int | None = None

    @field_validator(
        "method", "baseline", "control", "student", "evaluator", "teacher", "regime", "plugins", "prefer", mode="before"
    )
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | dict) else value

    @field_validator("dataset", "ipc")
    @classmethod
    def _one_is_no_list(cls, value: Any) -> Any:
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    @field_validator("set")
    @classmethod
    def _keys_are_dotted(cls, value: dict[str, Any]) -> dict[str, Any]:
        return dotted(value)

    @classmethod
    def from_recipe(cls, path: Path, objects: bool = False) -> Request:
        """Read a TOML recipe; InputError where it is missing, not TOML, or has an unknown key or a wrong type, and for one of
        a run with objects of Python, unless the caller has these `objects`."""
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"no recipe file at {path}") from None
        except RecursionError:
            raise InputError(
                f"the recipe {path} cannot be read: its tables and lists lie too deep in each other"
            ) from None
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, no TOML, a number of thousands of digits
            raise InputError(f"the recipe {path} cannot be read: {error}") from None
        request = cls.from_table(table, f"the recipe {path}:")
        if request.objects and not objects:
            raise InputError(
                f"the recipe {path} is of a run that was given objects in Python ({', '.join(request.objects)}), which no file "
                "repeats: call delt_host.run with them again"
            )
        return request

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Request:
        """From the keys of a recipe; InputError where one is unknown or of the wrong type."""
        return build(cls, table, where)

    def updated(self, other: Request) -> Request:
        """This request with everything that `other` says put over it; `set` is merged, and what is said of each plugin."""
        said = {name: getattr(other, name) for name in other.model_fields_set}
        said = {name: value for name, value in said.items() if value is not None and (value != [] or name == "control")}
        said["set"] = {**self.set, **other.set}
        words = {word.removeprefix("no:"): word for word in (*self.plugins, *other.plugins)}
        said |= {"plugins": list(words.values()), "prefer": list(dict.fromkeys([*other.prefer, *self.prefer]))}
        said |= {flag: getattr(self, flag) or getattr(other, flag) for flag in ("ceiling", "strict", "compile")}
        return self.model_copy(update=said)

    def decided_anew(self) -> Request:
        """Without what says how many sets there are; nor how many students, where a pilot has decided on these."""
        gone = {"seeds": None, "pilot": None, **({"students": None} if self.pilot else {})}
        return self.model_copy(update=gone)

    def added_to(self, other: Request) -> Request:
        """This recipe of a run, or of a sweep, with what `other` says beside it: what it names of rows, regimes, evaluators and
        students, and in a sweep of datasets and images a class, are more of them and not others. Components that it names are
        those of its own methods."""
        more: dict[str, Any] = {"evaluator": self._with_evaluators(other), "student": []}
        if not self.method:  # a run's, whose rows are tables; a sweep's recipe is what was asked for
            flags = {stage: name for stage in ROW_PARTS if (name := getattr(other, stage))}
            other = other.model_copy(
                update={**dict.fromkeys(ROW_PARTS), "method": [_with_parts(spec, flags) for spec in other.method]}
            )
        for name in ("method", "baseline", "regime", "dataset", "ipc"):
            ours, theirs = getattr(self, name), getattr(other, name)
            if isinstance(ours, list) and theirs:
                theirs = theirs if isinstance(theirs, list) else [theirs]
                more[name] = [*ours, *(each for each in theirs if each not in ours)]
        return self.updated(other.model_copy(update=more))

    def _with_evaluators(self, other: Request) -> list[str | dict[str, Any]]:
        named = [*other.evaluator, *({"name": "student", "model": model} for model in other.student)]
        return [*self.evaluator, *(each for each in named if each not in self.evaluator)] if named else []

    def regimes_named(self, names: Sequence[str]) -> list[str | dict[str, Any]]:
        """Regimes by name, those of this recipe as it has them."""
        own = {each["name"]: each for each in self.regime if isinstance(each, dict) and "name" in each}
        return [own.get(name, name) for name in names]

    def with_teachers(self, given: Sequence[Any]) -> Request:
        """A run's recipe with `given` in place of as many of its first teachers, under the names that it gives those; there are
        no other seeds of one that is given."""
        if not given:
            return self
        seeds = self.teacher_seeds or 1
        once = {"teacher_seeds": 1, "pilot": None if self.pilot is None else self.pilot * seeds}
        if NO_TEACHER in given:
            return self.model_copy(update={"teacher": list(given), **once})
        names = [each["name"] if isinstance(each, dict) and "name" in each else "" for each in self.teacher]
        tables = [
            teacher_table(word) | ({"name": name} if name else {}) if isinstance(word, str) else word
            for word, name in zip_longest(given, names[: len(given)], fillvalue="")
        ]
        return self.model_copy(update={"teacher": [*tables, *self.teacher[len(given) :]], **once})


def _with_parts(spec: str, parts: Mapping[str, str]) -> str:
    """A method's spec with these components, by stage, where it names none itself."""
    said = {each.partition("=")[0].strip() for each in split_spec(spec)[1]}
    return ",".join([spec, *(f"{stage}={name}" for stage, name in parts.items() if stage not in said)])


def teacher_table(word: str) -> dict[str, Any]:
    """``--teacher WORD`` as a recipe has it: a file where it is one, or a model's name."""
    if file_word(word):
        return {"model": word}
    is_file = word.endswith(".safetensors") or Path(word).is_file()
    return {"file": str(Path(word).expanduser().absolute())} if is_file else {"model": word}


def dotted(table: Mapping[str, Any]) -> dict[str, Any]:
    """``[set] scheduler.iterations = 5`` in TOML is a nested table; the keys here are dotted. An option may be a table."""
    flat: dict[str, Any] = {}
    for stage, options in table.items():
        if isinstance(options, Mapping) and "." not in stage:
            flat |= {f"{stage}.{option}": value for option, value in options.items()}
        else:
            flat[stage] = options
    return flat


def parse_seeds(given: Any) -> tuple[int, ...]:
    """``3`` is the seeds 0, 1, 2; ``0,7`` and [0, 7] are those two. InputError for anything else, and for too many."""
    if given is None:
        given = DEFAULT_SEEDS
    try:
        if isinstance(given, str) and "," in given:
            given = [int(part) for part in given.split(",") if part.strip()]
        listed = isinstance(given, Sequence) and not isinstance(given, str)
        if any(isinstance(each, bool | float) for each in ([*given] if listed else [given])):
            raise ValueError
        if not listed and int(given) > MOST_SEEDS:  # before so many are counted out
            raise InputError(f"seeds must be {MOST_SEEDS:,} at most")
        seeds = tuple(given) if listed else tuple(range(int(given)))
        if not seeds or any(not isinstance(seed, int) or not 0 <= seed <= LARGEST for seed in seeds):
            raise ValueError
    except (ValueError, TypeError):
        raise InputError(
            f"seeds must be a count (3) or a list (0,1,2) of whole numbers up to {LARGEST:,}, not {shown(given)}"
        ) from None
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"seeds must be {MOST_SEEDS:,} at most")
    if len(set(seeds)) != len(seeds):
        raise InputError(f"a seed is given twice in {','.join(map(str, seeds))}")
    return seeds


def parse_ipc(given: str) -> int | list[int]:
    """``10``, or ``1,10,50`` for a run with each. InputError for anything else."""
    try:
        counts = [int(part) for part in given.split(",")]
    except ValueError:
        raise InputError(f"--ipc must be a whole number (10), or a list (1,10,50), not {shown(given)}") from None
    return counts if len(counts) > 1 else counts[0]


def check_student_count(students: int, seeds: Sequence[int]) -> int:
    """InputError for a number of students a set that is none, or more than the same number of seeds may be."""
    if not 1 <= students * len(seeds) <= MOST_SEEDS:
        raise InputError(
            f"--students must be 1 or more, and with {len(seeds)} seeds {MOST_SEEDS // len(seeds):,} at most"
        )
    return students


def split_spec(spec: str) -> tuple[str, list[str]]:
    """``cda,initializer=ranked,scheduler.roll=[0,4]`` as its name and assignments; commas inside brackets of any kind stay."""
    parts, depth, start = [], 0, 0
    for place, character in enumerate(spec):
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth == 0:
            parts.append(spec[start:place])
            start = place + 1
    parts.append(spec[start:])
    return parts[0].strip(), [part.strip() for part in parts[1:]]


def parse_sets(assignments: Sequence[str]) -> dict[str, Any]:
    """``--set`` options as given; of two for one option the later holds."""
    return dict(parse_assignment(text) for text in assignments)
