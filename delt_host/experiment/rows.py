"""The rows of a comparison, from the words of the command line and of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_core import to_jsonable_python

from delt_host.basics.errors import InputError, unknown
from delt_host.basics.file_words import file_word, short_name
from delt_host.basics.options import build, parse_value
from delt_host.basics.settings import Settings, named_table, shown, word
from delt_host.contracts.methods import Choice, Method
from delt_host.contracts.varied import labelled
from delt_host.experiment.experiment import Named, Role, Row
from delt_host.experiment.grid import grid
from delt_host.experiment.parts import NOTHING, Parts, of_stage
from delt_host.experiment.request import ROW_PARTS as PARTS
from delt_host.experiment.request import Request, split_spec
from delt_host.experiment.words import DEFAULT_CONTROLS, NO_COMPONENT, START


class RowTable(Settings):
    """A recipe's ``[[row]]``."""

    label: str = Field("", max_length=200)
    """What the tables call it, on one line."""
    role: Literal["method", "baseline", "control"] = "method"
    method: str = ""
    """What it was made from."""
    name: str = Field("", max_length=200)
    """What of the label is no option's."""
    varied: list[str] = Field(default_factory=list)
    """The components, by stage, and options whose values the label says after it."""
    initializer: str | dict[str, Any] | None = None
    scheduler: str | dict[str, Any] | None = None
    matcher: str | dict[str, Any] | None = None
    form: str | dict[str, Any] = "pixels"

    @field_validator("label", "name")
    @classmethod
    def _on_one_line(cls, label: str) -> str:
        if not label.isprintable():
            raise ValueError("it must be one line without control characters")
        return label


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of a comparison at so many images a class."""

    parts: Parts
    ipc: int
    swaps: Mapping[str, str]
    """The components, by stage, that flags put in place of the methods' own."""

    def rows(self, request: Request) -> tuple[Row, ...]:
        """Those of the recipe, of ``--method`` and ``--baseline``, and the controls that these bring."""
        rows = [row for table in request.row for row in self.from_table(table)]
        specs: list[tuple[str, Role]] = [(spec, "method") for spec in request.method]
        specs += [(spec, "baseline") for spec in request.baseline]
        if not rows and not specs:
            known = ", ".join(self.parts.registry.names("method"))
            raise InputError(f"no method given; use --method NAME (known: {known})")
        made = [row for spec, role in specs for row in self.from_spec(spec, role)]
        # Said once more of a run that has grown by it, a row is there already.
        made = [row for row in made if not any(row.label == there.label and row.same_images(there) for there in rows)]
        _check_distinct([*rows, *made])
        if made:
            made += self.controls(made, request.control, rows)
        _check_distinct([*rows, *made])
        return (*rows, *made)

    def from_spec(self, spec: str, role: Role) -> list[Row]:
        """The rows of ``NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE``; components swapped by flag for methods alone.

        Lists are sweeps, of a component's names or where an option takes no list; all combinations are rows. ``PLACE:LABEL``
        is a row of the recipe, or of the run's folder, that lies there.
        """
        if (table := _elsewhere(spec)) is not None:
            return self.from_table(table, role)
        name, assignments = split_spec(spec)
        name = self.parts.registry.called("method", name)
        method: Method = self.parts.registry.get("method", name)
        if method.of:
            self._check_preset(name, method.of)
        swapping = [each for each in assignments if "=" in each and each.partition("=")[0] in PARTS]
        chosen: dict[str, Any] = dict(self.swaps) if role == "method" else {}
        chosen |= {stage: parse_value(given) for stage, _, given in (each.partition("=") for each in swapping)}
        own = self.parts.assigned(spec, [each for each in assignments if each not in swapping], PARTS)
        for key in own:
            if key.partition(".")[0] not in PARTS:
                raise InputError(f"{spec!r}: {key} is not the row's own; use --set {key}=… for the whole comparison")
        several = {
            stage: [word(each, f"{stage} of {shown(spec)}") for each in given]
            for stage, given in chosen.items()
            if isinstance(given, list)
        }
        return [
            row
            for components in grid(several, shown(spec))
            for row in self._of_method(name, role, method, {**chosen, **components}, own)
        ]

    def _of_method(
        self, name: str, role: Role, method: Method, chosen: Mapping[str, str], own: Mapping[str, Any]
    ) -> list[Row]:
        chosen = {stage: self.parts.registry.called(stage, component) for stage, component in chosen.items()}
        label = labelled(short_name(name), {**chosen, **own})
        published = method.published(self.parts.published_as, self.ipc)
        choices: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for stage in PARTS:
            choice: Choice | None = getattr(method, stage)
            known = self.parts.registry.names(stage)
            if choice is not None and stage not in chosen and choice.name not in known and not file_word(choice.name):
                raise InputError(f"method {short_name(name)}: {unknown(stage, choice.name, known)}")
            wanted = chosen.get(stage, published.get(stage))
            if wanted and (choice is None or wanted != choice.name):
                nothing = wanted == NO_COMPONENT and stage in ("scheduler", "matcher")
                choice = None if nothing else Choice(name=wanted)
            if choice is not None:
                suggested = self.parts.suggestions(stage, choice.name, of_stage(stage, published))
                choices[stage] = choice.name, self.parts.with_committee({**choice.options, **suggested})
        if ("scheduler" in choices) != ("matcher" in choices):
            if NO_COMPONENT not in (chosen.get("scheduler"), chosen.get("matcher")):
                missing = "matcher" if "scheduler" in choices else "scheduler"
                here = f" on {self.parts.published_as} at IPC {self.ipc}" if missing in published else ""
                raise InputError(f"{label}: {short_name(name)} has no {missing}{here}; give one with --{missing} NAME")
            choices = {stage: choice for stage, choice in choices.items() if stage not in ("scheduler", "matcher")}
        for key in own:
            if key.partition(".")[0] not in choices:
                stage = key.partition(".")[0]
                raise InputError(f"{label}: {short_name(name)} has no {stage}, whose option {key} would be")
        return self._made("", short_name(name), role, name, choices, [*chosen], own)

    def _made(
        self,
        label: str,
        name: str,
        role: Role,
        method: str,
        choices: Mapping[str, tuple[str, Mapping[str, Any]]],
        varied: Sequence[str] = (),
        own: Mapping[str, Any] = NOTHING,
    ) -> list[Row]:
        """A row of these components, by stage their names and options; several where one of its `own` options, or one of
        ``--set``, is a sweep. What ``--set`` sweeps is not for controls, which stay one. Without a `label` they are called by
        what is `varied`."""
        swept: dict[str, list[Any]] = {}
        unset: dict[str, None] = {}
        for stage, (component, _) in choices.items():
            for option, values in self.parts.swept(stage, component, of_stage(stage, own)).items():
                key = f"{stage}.{option}"
                if role == "control" and key not in own:
                    unset[key] = None
                else:
                    swept[key] = values
        rows: list[Row] = []
        for point in grid(swept, shown(label or name)):
            said = {**own, **point}
            made: dict[str, Named[Any]] = {
                stage: self.parts.make(stage, component, options, of_stage(stage, said), unset=of_stage(stage, unset))
                for stage, (component, options) in choices.items()
            }
            keys = tuple(key for key in dict.fromkeys((*varied, *said)) if _has(made, key))
            called = "" if point else label
            rows.append(
                Row(
                    called or labelled(name, {key: _value(key, made, said) for key in keys}),
                    role,
                    method=method,
                    name=name if keys else "",
                    varied=keys,
                    **made,  # type: ignore[arg-type]
                )
            )
        return rows

    def _check_preset(self, name: str, of: str) -> None:
        """InputError for a preset of a method which nobody provides: nothing could tell its share of the budget."""
        try:
            self.parts.registry.get("method", of)
        except InputError as error:
            raise InputError(f"method {short_name(name)} is a preset: {error}") from None

    def from_table(self, table: Mapping[str, Any], role: Role | None = None) -> list[Row]:
        """The row of a recipe's ``[[row]]`` table, every component with its own options, but for those swapped by flag;
        several where ``--set`` sweeps one of its options."""
        said = build(RowTable, table, f"row {shown(table.get('label') or table.get('method') or 'row')} of the recipe:")
        role = role or said.role
        choices: dict[str, tuple[str, Mapping[str, Any]]] = {}
        label = said.label or said.method or "row"
        name, varied, swapping = said.name or label, said.varied, False
        where = f"row {label!r} of the recipe"
        for stage in PARTS:
            component, options = "", dict[str, Any]()
            if (given := getattr(said, stage)) is not None:
                known = self.parts.registry.names(stage)
                component, options = named_table(given, f"{stage} of {where}", known=known)
            swapped = self.swaps.get(stage) if role == "method" else None
            if swapped and (swapped := self.parts.registry.called(stage, swapped)) != component:
                component, options, swapping = swapped, {}, True
                varied = [*(key for key in varied if key.partition(".")[0] != stage), stage]
            if component:
                choices[stage] = component, options
        if "initializer" not in choices:
            raise InputError(f'{where} has no initializer; a method as it is goes by its name: method = ["NAME"]')
        if ("scheduler" in choices) != ("matcher" in choices):
            raise InputError(f"{where} needs both a scheduler and a matcher, or neither")
        return self._made("" if swapping else label, name, role, said.method, choices, varied)

    def controls(self, rows: Sequence[Row], names: Sequence[str] | None, there: Sequence[Row] = ()) -> list[Row]:
        """The control rows: each named control method in every form that a row has, and each method's start with zero
        iterations; without those that are among `there`."""
        added: list[Row] = []
        for name in DEFAULT_CONTROLS if names is None else names:
            if name == START:
                candidates = [_start(row) for row in rows if row.role == "method" and row.scheduler is not None]
            else:
                candidates = [made for row in self.from_spec(name, "control") for made in _in_each_form(row, rows)]
            for row in candidates:
                if not any(row.same_images(other) for other in [*there, *rows, *added]):
                    added.append(row)
        return added


def _has(made: Mapping[str, Named[Any]], key: str) -> bool:
    """False for an option of an option's component where another component is in its place."""
    stage, *options = key.split(".")
    if len(options) < 2:
        return True
    value = made[stage].component if stage in made else None
    for option in options:
        if not hasattr(value, option):
            return False
        value = getattr(value, option)
    return True


def _value(key: str, made: Mapping[str, Named[Any]], said: Mapping[str, Any] = NOTHING) -> Any:
    """What a row has as a component or an option of its; of an option that is a component, what was said."""
    stage, _, option = key.partition(".")
    if stage not in made:
        return NO_COMPONENT
    value: Any = made[stage].component if option else made[stage].name
    for part in option.split(".") if option else ():
        value = getattr(value, part, None)
    return said.get(key, made[stage].name) if isinstance(value, BaseModel) else to_jsonable_python(value)


def _start(row: Row) -> Row:
    """A row with zero iterations, called after what its images still depend on."""
    varied = tuple(key for key in row.varied if key.partition(".")[0] in ("initializer", "form"))
    return _renamed(
        replace(row, role="control", scheduler=None, matcher=None), f"{row.name or row.label} start", varied
    )


def _renamed(row: Row, name: str, varied: tuple[str, ...]) -> Row:
    label = labelled(name, {key: _value(key, row.stages()) for key in varied})
    return replace(row, label=label, name=name if varied else "", varied=varied)


def _elsewhere(spec: str) -> Mapping[str, Any] | None:
    """The ``[[row]]`` table that ``PLACE:LABEL`` stands for; None where no recipe lies there."""
    ends = [place for place, character in enumerate(spec) if character == ":"]
    for end in [*ends, len(spec)]:
        place, label = Path(spec[:end]), spec[end + 1 :]
        if "/" not in spec[:end] and place.suffix != ".toml":
            continue
        recipe = place if place.suffix == ".toml" else place / "experiment.toml"
        if recipe.is_file():
            tables = Request.from_recipe(recipe).row
            labels = [str(table.get("label")) for table in tables]
            if label in labels:
                return tables[labels.index(label)]
            ways = ", ".join(map(repr, labels)) or "none"
            raise InputError(f"{spec!r}: name one of the rows of {recipe} after a colon: {ways}")
    return None


def _check_distinct(rows: Sequence[Row]) -> None:
    for place, row in enumerate(rows):
        for other in rows[:place]:
            if row.same_images(other):
                raise InputError(
                    f"{other.label!r} and {row.label!r} are the same row; --set changes every row alike, to change "
                    f"one write its own options: --method {row.method},STAGE.OPTION=VALUE"
                )
            if row.label == other.label:
                raise InputError(f"two rows are called {row.label!r}: give one another label")


def _in_each_form(control: Row, rows: Sequence[Row]) -> list[Row]:
    """The control, and the same in each other form that rows have, unless it has a form of its own: what images of a form are
    worth, random ones of that form tell."""
    if control.form.name != "pixels":
        return [control]
    forms = {row.form.name: row.form for row in reversed(rows) if row.form.name != control.form.name}
    others = [
        _renamed(replace(control, form=form), control.name or control.label, (*control.varied, "form"))
        for form in forms.values()
    ]
    return [control, *reversed(others)]
