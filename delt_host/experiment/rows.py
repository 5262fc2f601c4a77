"""The rows of a comparison, from the words of the command line and of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, field_validator

from delt_host.basics.errors import InputError, unknown
from delt_host.basics.options import build
from delt_host.basics.settings import Settings, named_table, shown
from delt_host.contracts.methods import Choice, Method
from delt_host.experiment.experiment import Named, Role, Row
from delt_host.experiment.parts import Parts, of_stage
from delt_host.experiment.request import Request, parse_sets, split_spec

PARTS = ("initializer", "scheduler", "matcher", "form")
"""What a row is made of, and a spec or a flag may swap."""
NO_COMPONENT = "none"  # the scheduler and matcher of a row that optimises nothing
DEFAULT_CONTROLS = ("random-real", "start")
START = "start"  # the control that takes each method's initialisation with zero iterations


class RowTable(Settings):
    """A recipe's ``[[row]]``."""

    label: str = Field("", max_length=200)
    """What the tables call it, on one line."""
    role: Literal["method", "baseline", "control"] = "method"
    method: str = ""
    """What it was made from."""
    initializer: str | dict[str, Any] | None = None
    scheduler: str | dict[str, Any] | None = None
    matcher: str | dict[str, Any] | None = None
    form: str | dict[str, Any] = "pixels"

    @field_validator("label")
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
        """Those of the recipe, of ``--method`` and ``--baseline``, and the controls of these."""
        rows = [self.from_table(table) for table in request.row]
        specs: list[tuple[str, Role]] = [(spec, "method") for spec in request.method]
        specs += [(spec, "baseline") for spec in request.baseline]
        if not rows and not specs:
            known = ", ".join(self.parts.registry.names("method"))
            raise InputError(f"no method given; use --method NAME (known: {known})")
        rows += [self.from_spec(spec, role) for spec, role in specs]
        if specs:
            rows += self.controls(rows, request.control)
        _check_distinct(rows)
        return tuple(rows)

    def from_spec(self, spec: str, role: Role) -> Row:
        """A row from ``NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE``; components swapped by flag for methods alone."""
        name, assignments = split_spec(spec)
        method: Method = self.parts.registry.get("method", name)
        swapping = [each for each in assignments if "=" in each and each.partition("=")[0] in PARTS]
        chosen = dict(self.swaps) if role == "method" else {}
        chosen |= {stage: component for stage, _, component in (each.partition("=") for each in swapping)}
        own = parse_sets([each for each in assignments if each not in swapping])
        differs = [f"{option}={value}" for option, value in {**chosen, **own}.items()]
        for key in own:
            if key.partition(".")[0] not in PARTS:
                raise InputError(f"{spec!r}: {key} is not the row's own; use --set {key}=… for the whole comparison")
        return self._row(f"{name} ({', '.join(differs)})" if differs else name, role, name, method, chosen, own)

    def _row(
        self, label: str, role: Role, name: str, method: Method, chosen: Mapping[str, str], own: Mapping[str, Any]
    ) -> Row:
        made: dict[str, Named[Any]] = {}
        published = method.published(self.parts.published_as, self.ipc)
        for stage in PARTS:
            choice: Choice | None = getattr(method, stage)
            known = self.parts.registry.names(stage)
            if choice is not None and stage not in chosen and choice.name not in known:
                raise InputError(f"method {name}: {unknown(stage, choice.name, known)}")
            wanted = chosen.get(stage, published.get(stage))
            if wanted and (choice is None or wanted != choice.name):
                nothing = wanted == NO_COMPONENT and stage in ("scheduler", "matcher")
                choice = None if nothing else Choice(name=wanted)
            if choice is not None:
                suggested = self.parts.suggestions(stage, choice.name, of_stage(stage, published))
                options = self.parts.with_committee({**choice.options, **suggested})
                made[stage] = self.parts.make(stage, choice.name, options, of_stage(stage, own))
        if ("scheduler" in made) != ("matcher" in made):
            if NO_COMPONENT not in (chosen.get("scheduler"), chosen.get("matcher")):
                missing = "matcher" if "scheduler" in made else "scheduler"
                here = f" on {self.parts.published_as} at IPC {self.ipc}" if missing in published else ""
                raise InputError(f"{label}: {name} has no {missing}{here}; give one with --{missing} NAME")
            made = {stage: named for stage, named in made.items() if stage not in ("scheduler", "matcher")}
        return Row(label, role, method=name, **made)  # type: ignore[arg-type]

    def from_table(self, table: Mapping[str, Any]) -> Row:
        """A row from a recipe's ``[[row]]`` table, every component with its own options, but for those swapped by flag."""
        said = build(RowTable, table, f"row {shown(table.get('label') or table.get('method') or 'row')} of the recipe:")
        made: dict[str, Named[Any]] = {}
        label = said.label or said.method or "row"
        where = f"row {label!r} of the recipe"
        for stage in PARTS:
            name, options = "", dict[str, Any]()
            if (given := getattr(said, stage)) is not None:
                known = self.parts.registry.names(stage)
                name, options = named_table(given, f"{stage} of {where}", known=known)
            swapped = self.swaps.get(stage) if said.role == "method" else None
            if swapped and swapped != name:
                name, options = swapped, {}
                label += f" ({stage}={swapped})"
            if name:
                made[stage] = self.parts.make(stage, name, options)
        if "initializer" not in made:
            raise InputError(f'{where} has no initializer; a method as it is goes by its name: method = ["NAME"]')
        if ("scheduler" in made) != ("matcher" in made):
            raise InputError(f"{where} needs both a scheduler and a matcher, or neither")
        return Row(label, said.role, method=said.method, **made)  # type: ignore[arg-type]

    def controls(self, rows: Sequence[Row], names: Sequence[str] | None) -> list[Row]:
        """The control rows: each named control method in every form that a row has, and each method's start with zero
        iterations."""
        added: list[Row] = []
        for name in DEFAULT_CONTROLS if names is None else names:
            if name == START:
                candidates = [
                    replace(row, label=f"{row.label} start", role="control", scheduler=None, matcher=None)
                    for row in rows
                    if row.role == "method" and row.scheduler is not None
                ]
            else:
                candidates = _in_each_form(self.from_spec(name, "control"), rows)
            added += [row for row in candidates if not any(row.same_images(other) for other in [*rows, *added])]
        return added


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
    others = [replace(control, label=f"{control.label} (form={name})", form=form) for name, form in forms.items()]
    return [control, *reversed(others)]
