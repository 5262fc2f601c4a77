"""The rows of a comparison, from the words of the command line and of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from delt_host.component import Component
from delt_host.components import Matcher
from delt_host.errors import InputError, unknown
from delt_host.experiment import Named, Role, Row
from delt_host.methods import WRITE_INSTEAD, Choice, Method, refuse_former
from delt_host.options import build, parse_assignment
from delt_host.plugins import Registry
from delt_host.request import Request, split_spec
from delt_host.set_options import SetOptions, in_the_datasets_committee, of_stage
from delt_host.settings import Settings, named_table, shown

PARTS = ("initializer", "scheduler", "matcher", "form")
"""What a row is made of, and a spec or a flag may swap."""
NOTHING = "none"  # the scheduler and matcher of a row that optimises nothing
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

    @model_validator(mode="before")
    @classmethod
    def _regimes_are_no_choice(cls, given: Any) -> Any:
        return refuse_former(given)


class RowMaker:
    """Makes the rows of the comparison, all under the same dataset, suggestions and ``--set`` options."""

    def __init__(
        self,
        registry: Registry,
        dataset: str,
        ipc: int,
        suggested: Mapping[str, Any],
        sets: SetOptions,
        swaps: Mapping[str, str],
    ) -> None:
        self.registry, self.dataset, self.ipc, self.suggested = registry, dataset, ipc, suggested
        self.sets, self.swaps = sets, swaps
        self.options_seen: dict[str, set[str]] = {}
        self.notes: list[str] = []

    def rows(self, request: Request) -> list[Row]:
        rows = [self.from_table(table) for table in request.row]
        specs = [(spec, "method") for spec in request.method] + [(spec, "baseline") for spec in request.baseline]
        if not rows and not specs:
            raise InputError(f"no method given; use --method NAME (known: {', '.join(self.registry.names('method'))})")
        rows += [self.from_spec(spec, "method" if role == "method" else "baseline") for spec, role in specs]
        if specs:
            rows += self.controls(rows, request.control)
        self._check_distinct(rows)
        return rows

    def from_spec(self, spec: str, role: Role) -> Row:
        """A row from ``NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE``; components swapped by flag for methods alone."""
        name, assignments = split_spec(spec)
        method: Method = self.registry.get("method", name)
        swapped = dict(self.swaps) if role == "method" else {}
        own: dict[str, Any] = {}
        inline: dict[str, str] = {}
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if equals and key == "relabeler":
                raise InputError(f"{spec!r}: {WRITE_INSTEAD}")
            if equals and key in PARTS:
                inline[key] = value
            else:
                option, parsed = parse_assignment(assignment)
                own[option] = parsed
        chosen = {**swapped, **inline}
        differs = [f"{k}={v}" for k, v in {**swapped, **inline}.items()] + [f"{k}={v}" for k, v in own.items()]
        label = f"{name} ({', '.join(differs)})" if differs else name
        for key in own:
            if key.partition(".")[0] not in PARTS:
                raise InputError(f"{spec!r}: {key} is not the row's own; use --set {key}=… for the whole comparison")
        return self._row(label, role, name, method, chosen, own)

    def _row(
        self,
        label: str,
        role: Role,
        name: str,
        method: Method,
        chosen: Mapping[str, str],
        own: Mapping[str, Any],
    ) -> Row:
        parts: dict[str, Named[Any] | None] = {}
        published = method.published(self.dataset, self.ipc)
        for stage in PARTS:
            choice: Choice | None = getattr(method, stage)
            if choice is not None and stage not in chosen and choice.name not in self.registry.names(stage):
                raise InputError(f"method {name}: {unknown(stage, choice.name, self.registry.names(stage))}")
            wanted = chosen.get(stage, published.get(stage))
            if wanted and (choice is None or wanted != choice.name):
                nothing = wanted == NOTHING and stage in ("scheduler", "matcher")
                choice = None if nothing else Choice(name=wanted)
            parts[stage] = self._component(stage, choice, method, of_stage(stage, own)) if choice else None
        if (parts["scheduler"] is None) != (parts["matcher"] is None):
            if chosen.get("scheduler") == NOTHING or chosen.get("matcher") == NOTHING:
                parts["scheduler"] = parts["matcher"] = None
            else:
                missing = "scheduler" if parts["scheduler"] is None else "matcher"
                here = f" on {self.dataset} at IPC {self.ipc}" if missing in published else ""
                raise InputError(f"{label}: {name} has no {missing}{here}; give one with --{missing} NAME")
        return Row(label=label, role=role, method=name, **parts)  # type: ignore[arg-type]

    def _component(self, stage: str, choice: Choice, method: Method, own: Mapping[str, Any]) -> Named[Any]:
        cls = self.registry.get(stage, choice.name)
        fields = list(cls.model_fields)
        self.options_seen.setdefault(stage, set()).update(settable(cls))
        published = of_stage(stage, method.published(self.dataset, self.ipc))
        # What is suggested and published may be for another component of the stage; a choice's own options are for this one.
        layers = [of_stage(stage, self.suggested), published]
        options = {key: value for layer in layers for key, value in layer.items() if key in fields}
        options = {**choice.options, **options}
        options = in_the_datasets_committee(Choice(name=choice.name, options=options), self.suggested).options
        where = f"{stage} {choice.name}"
        return Named(
            choice.name, build(cls, {**options, **self.sets.of(stage, settable(cls)), **own}, where, self.registry)
        )

    def from_table(self, table: Mapping[str, Any]) -> Row:
        """A row from a recipe's ``[[row]]`` table, every component with its own options, but for those swapped by flag."""
        said = build(RowTable, table, f"row {shown(table.get('label') or table.get('method') or 'row')} of the recipe:")
        parts: dict[str, Any] = {}
        label = said.label or said.method or "row"
        where = f"row {label!r} of the recipe"
        for stage in PARTS:
            name, options = "", dict[str, Any]()
            if (given := getattr(said, stage)) is not None:
                name, options = named_table(given, f"{stage} of {where}", known=self.registry.names(stage))
            swapped = self.swaps.get(stage) if said.role == "method" else None
            if swapped and swapped != name:
                name, options = swapped, {}
                label += f" ({stage}={swapped})"
            if not name:
                continue
            cls = self.registry.get(stage, name)
            self.options_seen.setdefault(stage, set()).update(settable(cls))
            given = {**options, **self.sets.of(stage, settable(cls))}
            parts[stage] = Named(name, build(cls, given, f"{stage} {name}", self.registry))
        if "initializer" not in parts:
            raise InputError(f'{where} has no initializer; a method as it is goes by its name: method = ["NAME"]')
        if ("scheduler" in parts) != ("matcher" in parts):
            raise InputError(f"{where} needs both a scheduler and a matcher, or neither")
        return Row(label=label, role=said.role, method=said.method, **{"scheduler": None, "matcher": None, **parts})

    def controls(self, rows: Sequence[Row], names: Sequence[str] | None) -> list[Row]:
        """The control rows: each named control method in every form that a row has, and each method's start with zero
        iterations."""
        added: list[Row] = []
        for name in DEFAULT_CONTROLS if names is None else names:
            if name == START:
                candidates = [
                    Row(
                        label=f"{row.label} start",
                        role="control",
                        method=row.method,
                        initializer=row.initializer,
                        scheduler=None,
                        matcher=None,
                        form=row.form,
                    )
                    for row in rows
                    if row.role == "method" and row.scheduler is not None
                ]
            else:
                candidates = _in_each_form(self.from_spec(name, "control"), rows)
            added += [row for row in candidates if not any(row.same_images(other) for other in [*rows, *added])]
        return added

    def evaluators(self, request: Request, rows: Sequence[Row], model: str) -> list[Named[Any]]:
        """What scores every row: those asked for, or the first method's; one student evaluator for each student."""
        given = list(request.evaluator)
        if not given:
            method = next((self.registry.get("method", r.method) for r in rows if r.method), None)
            given = [method.evaluator.name if method else "student"]
        result = []
        for table in given:
            name, options = named_table(table, "an evaluator of the recipe", "student")
            cls = self.registry.get("evaluator", name)
            fields = list(cls.model_fields)
            self.options_seen.setdefault("evaluator", set()).update(fields)
            options |= self.sets.of("evaluator", fields)
            models: list[Any] = [None]
            if "model" in fields and "model" not in options:
                models = list(request.student) or [model]
            for student in models:
                chosen = options if student is None else {**options, "model": student}
                result.append(Named(name, build(cls, chosen, f"evaluator {name}", self.registry)))
        titles = [named.component.title for named in result]
        for title in titles:
            if titles.count(title) > 1:
                raise InputError(
                    f"two evaluators are both {title!r} in the table; leave one out, and score by it with delt-host evaluate"
                )
        if all(named.component.per == "table" for named in result):
            raise InputError(
                f"evaluator {result[0].name} works its scores out of those of others; name one beside it: --evaluator student"
            )
        if request.student and not any("model" in named.component.model_fields_set for named in result):
            raise InputError("--student was given, but no evaluator of this run trains a student")
        return result

    def _check_distinct(self, rows: Sequence[Row]) -> None:
        for place, row in enumerate(rows):
            for other in rows[:place]:
                if row.label == other.label and not row.same_images(other):
                    raise InputError(f"two rows are called {row.label!r}: give one another label")
                if row.same_images(other):
                    raise InputError(
                        f"{other.label!r} and {row.label!r} are the same row; --set changes every row alike, to change "
                        f"one write its own options: --method {row.method},STAGE.OPTION=VALUE"
                    )


def settable(cls: type[Component]) -> list[str]:
    """The options that ``--set`` reaches, whatever rows there are: not the networks of a matcher that has no choice."""
    fields = list(cls.model_fields)
    return [name for name in fields if not (name == "networks" and issubclass(cls, Matcher) and cls.of_teachers)]


def _in_each_form(control: Row, rows: Sequence[Row]) -> list[Row]:
    """The control, and the same in each other form that rows have, unless it has a form of its own: what images of a form are
    worth, random ones of that form tell."""
    if control.form.name != "pixels":
        return [control]
    forms = {row.form.name: row.form for row in reversed(rows) if row.form.name != control.form.name}
    others = [replace(control, label=f"{control.label} (form={name})", form=form) for name, form in forms.items()]
    return [control, *reversed(others)]
