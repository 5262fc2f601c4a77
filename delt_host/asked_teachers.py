"""The teachers of an experiment: those that are given, and those that its components ask for beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host.component import Asking, Component
from delt_host.errors import InputError
from delt_host.experiment import AskedTeacher, Named
from delt_host.models import check_model
from delt_host.options import build
from delt_host.plugins import Registry
from delt_host.request import NO_TEACHER, teacher_table
from delt_host.set_options import SetOptions, of_stage
from delt_host.settings import word
from delt_host.squeezer import Squeezer
from delt_host.teacher import Teacher

DEFAULT = "ordinary"  # the squeezer where none is named


class TeacherMaker:
    """Makes the teachers, all under the same dataset's suggestions and ``--set`` options."""

    def __init__(self, registry: Registry, suggested: Mapping[str, Any], sets: SetOptions) -> None:
        self.registry, self.sets = registry, sets
        self.suggested = of_stage("teacher", suggested)
        self.options_seen: set[str] = set()

    def given(self, teachers: Sequence[Any]) -> tuple[AskedTeacher, ...]:
        """Those that are given, by words or tables; without any the one that the dataset suggests."""
        if NO_TEACHER in teachers:
            if len(teachers) > 1:
                raise InputError("--teacher none stands alone: a run has either no teacher or those that it is given")
            return ()
        made: list[AskedTeacher] = []
        for teacher in (self._given(one) for one in teachers or [{}]):
            if any(teacher.made_by == other.made_by for other in made):
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
        self, given: Sequence[AskedTeacher], components: Iterable[tuple[str, Named[Component]]]
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
                    check_model(name, self.registry.things("model"))
                except InputError as error:
                    raise InputError(f"{asks}, which is none of {', '.join(made)} and no model: {error}") from None
                made[name] = self._squeezed({}, {"model": name})
        files = [teacher.made_by for teacher in made.values() if isinstance(teacher.made_by, Path)]
        if files and len(files) == len(made) and (changed := self.sets.of("teacher")):
            raise InputError(f"the teacher comes from {files[0]}; teacher.{next(iter(changed))} cannot be set")
        return tuple(made.values())

    def _given(self, given: Any) -> AskedTeacher:
        options = teacher_table(given) if isinstance(given, str) else dict(given)
        name = word(options.pop("name", ""), "name of a teacher of the recipe")
        if "file" in options:
            path = Path(word(options.pop("file"), "file of a teacher of the recipe")).absolute()
            if options:
                raise InputError(f"the teacher comes from {path}; teacher.{next(iter(options))} cannot be set")
            return AskedTeacher(path, Teacher.facts_in(path)["architecture"], name)
        return self._squeezed(options, {}, name)

    def _squeezed(self, options: Mapping[str, Any], own: Mapping[str, Any], name: str = "") -> AskedTeacher:
        """A teacher to squeeze, with suggested options that its squeezer has; `own` are options that go before ``--set``."""
        chosen = {**self.suggested, **options, **self.sets.of("teacher", ["squeezer"])}
        squeezer = word(chosen.get("squeezer", DEFAULT), "teacher.squeezer")
        cls: type[Squeezer] = self.registry.get("squeezer", squeezer)
        fields = list(cls.model_fields)
        self.options_seen |= {"squeezer", *fields}
        layers = [{key: value for key, value in self.suggested.items() if key in fields}, options]
        layers += [self.sets.of("teacher", fields), own]
        merged = {key: value for layer in layers for key, value in layer.items() if key != "squeezer"}
        component = build(cls, merged, "teacher")
        return AskedTeacher(Named(squeezer, component), component.model, name)
