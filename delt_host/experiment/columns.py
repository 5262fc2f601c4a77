"""The columns of a comparison, from the words of the command line and of recipes: its regimes, and what scores under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delt_host.basics import file_words
from delt_host.basics.errors import InputError, near, unknown
from delt_host.basics.options import build
from delt_host.basics.settings import named_table, shown, word
from delt_host.contracts.methods import Choice, Method, Regime
from delt_host.contracts.varied import value_shown
from delt_host.experiment.experiment import Column, Named, Row
from delt_host.experiment.grid import grid
from delt_host.experiment.parts import NOTHING, Parts, of_stage
from delt_host.experiment.request import Request, split_spec

DEFAULT_REGIMES, WITHOUT_TEACHER = ("hard", "views"), ("hard",)
COLUMN_PARTS = ("relabeler", "protocol")


@dataclass(frozen=True)
class ColumnMaker:
    """Makes the columns of a comparison at so many images a class, for these students."""

    parts: Parts
    ipc: int
    students: tuple[str, ...]

    def columns(self, given: Sequence[str | Mapping[str, Any]], teacher: bool) -> tuple[Column, ...]:
        """Those asked for, or the default ones of a run with or without a teacher; InputError for two that are the same.

        A method's name is the regime that it was published with, for this dataset and IPC.
        """
        asked = given or (DEFAULT_REGIMES if teacher else WITHOUT_TEACHER)
        made = [
            column
            for one in asked
            for column in (self._from_spec(one) if isinstance(one, str) else self._from_table(one))
        ]
        for place, column in enumerate(made):
            for other in made[:place]:
                if column.name == other.name or column.same(other):
                    raise InputError(f"the regimes {other.name!r} and {column.name!r} are the same; leave one out")
        return tuple(made)

    def not_taken(self, columns: Sequence[Column]) -> tuple[str, ...]:
        """A sentence for each student that a protocol has settings of its own for, which a column for several cannot take."""
        dataset = self.parts.published_as
        return tuple(
            f"protocol {name} is published with settings of its own for {student} on {dataset} "
            f"({', '.join(f'{option}={value}' for option, value in own.items())}), which are taken where it is the only student"
            for name in dict.fromkeys(column.protocol.name for column in columns)
            for student in self.students
            if len(self.students) > 1
            and (own := self.parts.registry.get("protocol", name).datasets.get(f"{dataset} {student}"))
        )

    def _from_spec(self, spec: str) -> list[Column]:
        """The regime of ``NAME`` or ``RELABELER:PROTOCOL``, with ``,STAGE.OPTION=VALUE`` after it; called by what was said.

        Several where an option has a list that it takes not, all combinations of these.
        """
        parts = self.parts
        name, assignments = split_spec(spec)
        stands_for, published = split_spec(self._of_method(name) or name)
        first, *others = file_words.parts(stands_for)
        if others:
            relabeler, protocol = Choice(name=first), Choice(name=":".join(others))
        else:
            regime: Regime = parts.provider("regime", stands_for).thing
            relabeler, protocol = regime.relabeler, regime.protocol
        own = parts.assigned(spec, assignments, COLUMN_PARTS)
        for key in own:
            if key.partition(".")[0] not in COLUMN_PARTS:
                raise InputError(f"regime {spec!r}: {key} is no option of a relabeler or protocol")
        given = parts.assigned(spec, published, COLUMN_PARTS)
        answers = parts.with_committee({**relabeler.options, **of_stage("relabeler", given)})
        relabeler = _with_options(relabeler, answers)
        protocol = _with_options(protocol, {**protocol.options, **of_stage("protocol", given)})
        said = ":".join(map(file_words.short_name, file_words.parts(name)))
        return self._columns(",".join([said, *assignments]), relabeler, protocol, own)

    def _of_method(self, name: str) -> str:
        """The regime that a method of this name was published with; empty where it is a regime's name, or no such method's."""
        registry = self.parts.registry
        regimes, methods = registry.names("regime"), registry.names("method")
        if name not in methods or name in regimes:
            one = len(file_words.parts(name)) == 1
            if one and name not in regimes and near(name, methods) and not near(name, regimes):
                raise unknown("regime", name, [*regimes, *methods])
            return ""
        method: Method = registry.get("method", name)
        said: str = method.published(self.parts.published_as, self.ipc).get("regime", method.regime)
        if not said:
            raise InputError(f"method {name} was published with no regime that is known here; name one: --regime hard")
        return said

    def _from_table(self, table: Mapping[str, Any]) -> list[Column]:
        """A regime from a recipe's ``[[regime]]`` table: a name with a relabeler and a protocol, each with its own options."""
        said = word(table.get("name", ""), "name of a regime of the recipe")
        where = f"regime {said!r} of the recipe"
        if unknown := sorted(set(table) - {"name", "summary", "source", *COLUMN_PARTS}):
            raise InputError(f"{where} has no key {unknown[0]!r} (keys: name, {', '.join(COLUMN_PARTS)})")
        if set(COLUMN_PARTS).isdisjoint(table):
            return self._from_spec(said)
        regime = build(Regime, {"summary": "", **{k: v for k, v in table.items() if k != "name"}}, where)
        name = said or ":".join(file_words.short_name(each.name) for each in (regime.relabeler, regime.protocol))
        return self._columns(name, regime.relabeler, regime.protocol, NOTHING)

    def _columns(self, name: str, relabeler: Choice, protocol: Choice, own: Mapping[str, Any]) -> list[Column]:
        """One for each combination of what is swept, in its `own` options or by ``--set``."""
        swept = {
            f"{stage}.{option}": values
            for stage, choice in (("relabeler", relabeler), ("protocol", protocol))
            for option, values in self.parts.swept(stage, choice.name, of_stage(stage, own)).items()
        }
        points = grid(swept, f"regime {shown(name)}")
        return [self._column(_named(name, point), relabeler, protocol, {**own, **point}) for point in points]

    def _column(self, name: str, relabeler: Choice, protocol: Choice, own: Mapping[str, Any]) -> Column:
        parts = self.parts

        def made(stage: str, choice: Choice, published: Mapping[str, Any] = NOTHING) -> Named[Any]:
            given = {**published, **parts.suggestions(stage, choice.name), **choice.options}
            return parts.make(stage, choice.name, given, of_stage(stage, own))

        answers = made("relabeler", relabeler)
        published = parts.registry.get("protocol", protocol.name).published(parts.published_as, self.ipc, self.students)
        return Column(name, answers, made("protocol", protocol, published))


def _with_options(choice: Choice, options: Mapping[str, Any]) -> Choice:
    """The same component with these options and no others."""
    return choice.model_copy(update={"options": dict(options)})


def _named(name: str, point: Mapping[str, Any]) -> str:
    """A regime's name with these values in place of what it says of the same options."""
    first, assignments = split_spec(name)
    kept = [each for each in assignments if each.partition("=")[0].strip() not in point]
    return ",".join([first, *kept, *(f"{key}={value_shown(value)}" for key, value in point.items())]) if point else name


def evaluators(request: Request, rows: Sequence[Row], model: str, parts: Parts) -> tuple[Named[Any], ...]:
    """What scores every row; an evaluator that trains a student is there once for each of those asked for, or for `model`."""
    asked = list(request.evaluator)
    if not asked:
        method = next((parts.registry.get("method", row.method) for row in rows if row.method), None)
        asked = [method.evaluator.name if method else "student"]
    made: list[Named[Any]] = []
    for each in asked:
        name, options = named_table(each, "an evaluator of the recipe", "student")
        trains = "model" in parts.registry.get("evaluator", name).model_fields
        if trains and "model" not in options and not parts.set_for("evaluator", ["model"]):
            students = request.student or [model]
            made += [parts.make("evaluator", name, options, {"model": student}) for student in students]
        else:
            made.append(parts.make("evaluator", name, options))
    titles = [named.component.title for named in made]
    for title in titles:
        if titles.count(title) > 1:
            raise InputError(
                f"two evaluators are both {title!r} in the table; leave one out, and score by it with delt-host evaluate"
            )
    if all(named.component.per == "table" for named in made):
        raise InputError(
            f"evaluator {made[0].name} works its scores out of those of others; name one beside it: --evaluator student"
        )
    if request.student and not any("model" in named.component.model_fields_set for named in made):
        raise InputError("--student was given, but no evaluator of this run trains a student")
    return tuple(made)
