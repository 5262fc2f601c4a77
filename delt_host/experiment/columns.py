"""The columns of a comparison, from the words of the command line and of recipes: its regimes, and what scores under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from delt_host.basics import file_words
from delt_host.basics.errors import InputError
from delt_host.basics.options import build
from delt_host.basics.settings import named_table, shown, word
from delt_host.contracts.methods import Choice, Regime
from delt_host.contracts.varied import value_shown
from delt_host.experiment.experiment import Column, Named, Row
from delt_host.experiment.grid import grid
from delt_host.experiment.parts import NOTHING, Parts, of_stage
from delt_host.experiment.request import Request, split_spec

DEFAULT_REGIMES, WITHOUT_TEACHER = ("hard", "views"), ("hard",)
COLUMN_PARTS = ("relabeler", "protocol")


def columns(given: Sequence[str | Mapping[str, Any]], parts: Parts, teacher: bool) -> tuple[Column, ...]:
    """Those asked for, or the default ones of a run with or without a teacher; InputError for two that are the same."""
    asked = given or (DEFAULT_REGIMES if teacher else WITHOUT_TEACHER)
    made = [
        column
        for one in asked
        for column in (_from_spec(one, parts) if isinstance(one, str) else _from_table(one, parts))
    ]
    for place, column in enumerate(made):
        for other in made[:place]:
            if column.name == other.name or column.same(other):
                raise InputError(f"the regimes {other.name!r} and {column.name!r} are the same; leave one out")
    return tuple(made)


def _from_spec(spec: str, parts: Parts) -> list[Column]:
    """The regime of ``NAME`` or ``RELABELER:PROTOCOL``, with ``,STAGE.OPTION=VALUE`` after it; called by what was said.

    Several where an option has a list that it takes not, all combinations of these.
    """
    name, assignments = split_spec(spec)
    first, *others = file_words.parts(name)
    if others:
        relabeler, protocol = Choice(name=first), Choice(name=":".join(others))
    else:
        regime: Regime = parts.provider("regime", name).thing
        options = parts.with_committee(regime.relabeler.options)
        relabeler, protocol = Choice(name=regime.relabeler.name, options=dict(options)), regime.protocol
    own = parts.assigned(spec, assignments, COLUMN_PARTS)
    for key in own:
        if key.partition(".")[0] not in COLUMN_PARTS:
            raise InputError(f"regime {spec!r}: {key} is no option of a relabeler or protocol")
    said = ":".join(map(file_words.short_name, (first, *others)))
    return _columns(",".join([said, *assignments]), relabeler, protocol, own, parts)


def _from_table(table: Mapping[str, Any], parts: Parts) -> list[Column]:
    """A regime from a recipe's ``[[regime]]`` table: a name with a relabeler and a protocol, each with its own options."""
    said = word(table.get("name", ""), "name of a regime of the recipe")
    where = f"regime {said!r} of the recipe"
    if unknown := sorted(set(table) - {"name", "summary", "source", *COLUMN_PARTS}):
        raise InputError(f"{where} has no key {unknown[0]!r} (keys: name, {', '.join(COLUMN_PARTS)})")
    if set(COLUMN_PARTS).isdisjoint(table):
        return _from_spec(said, parts)
    regime = build(Regime, {"summary": "", **{k: v for k, v in table.items() if k != "name"}}, where)
    name = said or ":".join(file_words.short_name(each.name) for each in (regime.relabeler, regime.protocol))
    return _columns(name, regime.relabeler, regime.protocol, NOTHING, parts)


def _columns(name: str, relabeler: Choice, protocol: Choice, own: Mapping[str, Any], parts: Parts) -> list[Column]:
    """One for each combination of what is swept, in its `own` options or by ``--set``."""
    swept = {
        f"{stage}.{option}": values
        for stage, choice in (("relabeler", relabeler), ("protocol", protocol))
        for option, values in parts.swept(stage, choice.name, of_stage(stage, own)).items()
    }
    points = grid(swept, f"regime {shown(name)}")
    return [_column(_named(name, point), relabeler, protocol, {**own, **point}, parts) for point in points]


def _named(name: str, point: Mapping[str, Any]) -> str:
    """A regime's name with these values in place of what it says of the same options."""
    first, assignments = split_spec(name)
    kept = [each for each in assignments if each.partition("=")[0].strip() not in point]
    return ",".join([first, *kept, *(f"{key}={value_shown(value)}" for key, value in point.items())]) if point else name


def _column(name: str, relabeler: Choice, protocol: Choice, own: Mapping[str, Any], parts: Parts) -> Column:
    def made(stage: str, choice: Choice, published: Mapping[str, Any] = NOTHING) -> Named[Any]:
        given = {**published, **parts.suggestions(stage, choice.name), **choice.options}
        return parts.make(stage, choice.name, given, of_stage(stage, own))

    answers = made("relabeler", relabeler)
    published = parts.registry.get("protocol", protocol.name).datasets.get(parts.published_as, NOTHING)
    return Column(name, answers, made("protocol", protocol, published))


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
