"""The teachers of an experiment: those that are given, and those that its components ask for beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host.basics.errors import InputError
from delt_host.basics.settings import shown, word
from delt_host.contracts.component import Asking, Component
from delt_host.contracts.teacher import Teacher, Trained
from delt_host.experiment.experiment import AskedTeacher, Named
from delt_host.experiment.parts import NOTHING, Parts
from delt_host.experiment.request import teacher_table
from delt_host.experiment.words import NO_TEACHER
from delt_host.networks.build import check_model

DEFAULT = "ordinary"  # the squeezer where none is named


def given_teachers(asked: Sequence[Any], parts: Parts) -> tuple[AskedTeacher, ...]:
    """Those that are given, by words or tables; without any the one that the dataset suggests."""
    if NO_TEACHER in asked:
        if len(asked) > 1:
            raise InputError("--teacher none stands alone: a run has either no teacher or those that it is given")
        return ()
    made: list[AskedTeacher] = []
    for teacher in (_given(one, parts) for one in asked or [{}]):
        if any(_same(teacher.made_by, other.made_by) for other in made):
            raise InputError(
                f"the teacher {teacher.name} is given twice; two teachers differ, in teacher.seed at least"
            )
        if teacher.name in [other.name for other in made]:
            raise InputError(
                f'two teachers go by {teacher.name!r}: give one another name in a recipe, as [[teacher]] name = "…"'
            )
        made.append(teacher)
    return tuple(made)


def with_asked(
    given: Sequence[AskedTeacher], components: Iterable[tuple[str, Named[Component]]], parts: Parts
) -> tuple[AskedTeacher, ...]:
    """These, and beside them each model that a component, told by its stage, asks for by a name that is none of theirs."""
    made = {teacher.name: teacher for teacher in given}
    for stage, named in components:
        for name in named.component.teachers if isinstance(named.component, Asking) else ():
            if name in made:
                continue
            asks = f"{stage} {named.name} asks the teacher {name!r}"
            if not given:
                raise InputError(f"{asks}, and --teacher none is given")
            try:
                check_model(name, parts.registry.things("model"))
            except InputError as error:
                raise InputError(f"{asks}, which is none of {', '.join(made)} and no model: {error}") from None
            made[name] = _squeezed(NOTHING, parts, own={"model": name})
    ready = [teacher for teacher in made.values() if not teacher.recipe]
    if ready and len(ready) == len(made) and (changed := parts.set_for("teacher")):
        raise InputError(f"the teacher comes from {ready[0].origin}; teacher.{next(iter(changed))} cannot be set")
    return tuple(made.values())


def check_teacher_seeds(count: int | None, teachers: Sequence[AskedTeacher], seeds: Sequence[int]) -> int:
    """How many times each teacher is squeezed. InputError where there are fewer sets, and for teachers that cannot be, or of
    whom two would be the same."""
    if count is None or count == 1:
        return 1
    if count < 1:
        raise InputError(f"--teacher-seeds must be at least 1, not {shown(count)}")
    if count > len(seeds):
        raise InputError(f"--teacher-seeds {count} needs {count} sets at least, one for each: --seeds is {len(seeds)}")
    if not teachers:
        raise InputError(f"--teacher-seeds {count} squeezes teachers, and --teacher none is given")
    for teacher in teachers:
        if not isinstance(teacher.made_by, Named):
            raise InputError(
                f"--teacher-seeds {count} squeezes each teacher {count} times, and {teacher.name} comes from {teacher.origin}"
            )
        if "seed" not in type(teacher.made_by.component).model_fields:
            raise InputError(
                f"--teacher-seeds {count} squeezes each teacher under {count} seeds, and the squeezer "
                f"{teacher.made_by.name} of {teacher.name} has no option seed"
            )
    made = [each.with_seed(seed) for each in teachers for seed in range(count)]
    for nth, one in enumerate(made):
        if any(_same(one.made_by, other.made_by) for other in made[:nth]):
            raise InputError(
                f"with --teacher-seeds {count} two teachers would be the same, of {one.name}: teachers that differ in "
                f"teacher.seed alone are to have seeds {count} apart at least"
            )
    return count


def _same(one: Any, other: Any) -> bool:
    """Whether two teachers are made alike; of two that are given themselves, whether they are one."""
    return one is other or (isinstance(one, Path | Named) and one == other)


def _given(given: Any, parts: Parts) -> AskedTeacher:
    if isinstance(given, Teacher):
        return AskedTeacher(given, given.architecture, given.name)
    if isinstance(given, Trained):
        return AskedTeacher(given, given.architecture)
    options = teacher_table(given) if isinstance(given, str) else dict(given)
    name = word(options.pop("name", ""), "name of a teacher of the recipe")
    if "file" not in options:
        return _squeezed(options, parts, name)
    path = Path(word(options.pop("file"), "file of a teacher of the recipe")).absolute()
    if options:
        raise InputError(f"the teacher comes from {path}; teacher.{next(iter(options))} cannot be set")
    architecture = Teacher.load(path).architecture
    try:
        return AskedTeacher(path, parts.registry.called("model", architecture), name)
    except InputError as error:  # of a network in a file
        raise InputError(f"the teacher {path}: {error}") from error


def _squeezed(
    options: Mapping[str, Any], parts: Parts, name: str = "", own: Mapping[str, Any] = NOTHING
) -> AskedTeacher:
    """A teacher to squeeze; `own` are options that go before ``--set``."""
    suggested = {"squeezer": parts.suggested.get("teacher.squeezer", DEFAULT)}
    chosen = {**suggested, **options, **parts.set_for("teacher", ["squeezer"])}
    squeezer = word(chosen["squeezer"], "teacher.squeezer")
    given = {**parts.suggestions("teacher", squeezer, kind="squeezer"), **options}
    given.pop("squeezer", None)
    made = parts.make("teacher", squeezer, given, own, kind="squeezer")
    parts.options["teacher"].add("squeezer")
    return AskedTeacher(made, made.component.model, name)
