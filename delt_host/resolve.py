"""From what the user asked for (flags, a recipe file) to an experiment with every option set and checked.

Options are taken, later over earlier, from: the component's defaults, the method, what the dataset suggests, the
method's published settings for the dataset, ``--set``, and the row's own (``--method delt,scheduler.iterations=500``).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from delt_host.components import STAGES
from delt_host.compute import Compute
from delt_host.data import DATASETS
from delt_host.data.base import Dataset, RealData
from delt_host.errors import InputError, unknown
from delt_host.experiment import Budget, Experiment, Named, Role, Row
from delt_host.methods import Choice, Method
from delt_host.options import build, parse_assignment
from delt_host.plugins import Plugin, Provided, Registry
from delt_host.protocols import PROTOCOLS, protocol
from delt_host.request import Request, check_students, parse_seeds, split_spec
from delt_host.squeeze import TeacherRecipe
from delt_host.teacher import Teacher

NOTHING = "none"  # the scheduler and matcher of a row that optimises nothing
DEFAULT_CONTROLS = ("random-real", "start")
START = "start"  # the control that takes each method's initialisation with zero iterations
DEFAULT_IPC, DEFAULT_CEILING_EPOCHS = 10, 20
MOST_THREADS = 1024


def resolve(request: Request, registry: Registry) -> Experiment:
    """The experiment; InputError in one sentence for whatever is unknown, of the wrong type, or contradictory."""
    registry = _with_methods(registry, request.methods)
    sets = _Sets(request.set)
    dataset_name, dataset = _dataset(request.dataset, registry, sets)
    suggested, known_as = dict(dataset.suggested), dataset.published_as or dataset_name
    if known_as not in (datasets := {**DATASETS, **registry.things("dataset")}):
        raise unknown("dataset", known_as, datasets)
    ipc = request.ipc if request.ipc is not None else int(suggested.get("ipc", DEFAULT_IPC))
    if ipc < 1:
        raise InputError(f"--ipc must be at least 1, not {ipc}")
    maker = _RowMaker(registry, known_as, ipc, suggested, sets, _swaps(request))
    rows = maker.rows(request)
    teachers = _teachers(request.teacher, suggested, sets, maker.committee)
    first = teachers[0]
    model = Teacher.load(first).architecture if isinstance(first, Path) else first.model
    compute = Compute.choose(request.device or "auto", request.precision or "auto", request.stack)
    evaluators = maker.evaluators(request, rows, model)
    chosen_protocol = _protocol(request.protocol, known_as, suggested, sets)
    sets.check_all_used(maker)
    threads = torch.get_num_threads() if request.threads is None else request.threads
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"--threads must be 1 to {MOST_THREADS}, not {threads}")
    if threads > (cores := os.cpu_count() or threads):
        maker.notes.append(
            f"{threads} threads share {cores} processors, which is slow; --threads N takes fewer, for other last bits"
        )
    epochs = request.ceiling_epochs or (DEFAULT_CEILING_EPOCHS if request.ceiling else 0)
    seeds = parse_seeds(request.seeds)
    return Experiment(
        dataset=Named(dataset_name, dataset),
        teachers=teachers,
        protocol=chosen_protocol,
        ipc=ipc,
        seeds=seeds,
        students=check_students(1 if request.students is None else request.students, seeds),
        rows=tuple(rows),
        evaluators=tuple(evaluators),
        device=compute.device,
        precision=compute.precision,
        stack=compute.stack,
        threads=threads,
        strict=request.strict,
        match=Budget.parse(request.match) if request.match else None,
        ceiling_epochs=epochs,
        notes=tuple(maker.notes),
    )


def _with_methods(registry: Registry, defined: Mapping[str, Mapping[str, Any]]) -> Registry:
    """The registry with a recipe's own ``[methods.NAME]`` tables beside the installed methods."""
    if not defined:
        return registry
    recipe = Plugin("recipe", "the recipe", "", "recipe")
    methods = dict(registry.provided["method"])
    for name, table in defined.items():
        if name in methods:
            raise InputError(f"the recipe defines a method {name!r}, which {methods[name].plugin} provides; rename it")
        methods[name] = Provided(build(Method, {"summary": "", **table}, f"the recipe's methods.{name}"), recipe)
    return Registry(registry.plugins, {**registry.provided, "method": methods})


class _Sets:
    """The ``--set`` options, remembering which were of use."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = dict(given)
        self.used: set[str] = set()

    def of(self, stage: str, options: Sequence[str] | None = None) -> dict[str, Any]:
        """What is set for a stage, restricted to the options that its component has."""
        found = {}
        for key, value in self.given.items():
            at, _, option = key.partition(".")
            if at == stage and (options is None or option in options):
                self.used.add(key)
                found[option] = value
        return found

    def check_all_used(self, maker: _RowMaker) -> None:
        for key in self.given:
            if key in self.used:
                continue
            stage, _, option = key.partition(".")
            stages = {"dataset", "teacher", "protocol", *STAGES}
            if stage not in stages:
                raise unknown("stage", stage, stages)
            known = sorted(maker.options_seen.get(stage, set()))
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"no {stage} in this run has an option {option!r}{hint} (options: {', '.join(known) or 'none'})"
            )


def _dataset(given: Any, registry: Registry, sets: _Sets) -> tuple[str, Dataset]:
    table = {**DATASETS, **registry.things("dataset")}
    if isinstance(given, Mapping):
        options = dict(given)
        name = options.pop("name", "digits")
    else:
        name, _, place = (given or "digits").partition(":")
        options = {"": place} if place else {}
    if name not in table:
        raise unknown("dataset", name, table)
    cls = table[name]
    if "" in options:
        if not cls.location:
            raise InputError(f"dataset {name} is read from no place; leave out ':{options['']}'")
        options[cls.location] = options.pop("")
    return name, build(cls, {**options, **sets.of("dataset")}, f"dataset {name}")


def load_named_dataset(name: str, registry: Registry, options: Mapping[str, Any]) -> RealData:
    """The dataset that ``--dataset NAME[:PATH]`` and ``--set dataset.OPTION=VALUE`` stand for."""
    sets = _Sets(options)
    dataset = _dataset(name, registry, sets)[1]
    for key in options:
        if key not in sets.used:
            raise InputError(f"--set {key} has no place here; only dataset options do")
    return dataset.load()


def _teachers(
    given: Sequence[Any], suggested: Mapping[str, Any], sets: _Sets, committee: Sequence[str]
) -> tuple[TeacherRecipe | Path, ...]:
    """The teachers asked for, or the dataset's and those that the methods want beside it."""
    teachers = [_teacher(one, suggested, sets) for one in given or [{}]]
    if not given:
        there = {teacher.model for teacher in teachers if isinstance(teacher, TeacherRecipe)}
        teachers += [_teacher(model, suggested, sets) for model in committee if model not in there]
    for place, teacher in enumerate(teachers):
        if teacher in teachers[:place]:
            raise InputError("a teacher is given twice; a committee's members differ (another model or teacher.seed)")
    return tuple(teachers)


def _teacher(given: Any, suggested: Mapping[str, Any], sets: _Sets) -> TeacherRecipe | Path:
    if isinstance(given, str):
        given = {"file": given} if given.endswith(".safetensors") or Path(given).is_file() else {"model": given}
    options = {**_of("teacher", suggested), **(given or {})}
    if "file" in options:
        if not Path(options["file"]).is_file():
            raise InputError(f"no teacher at {options['file']}")
        if changed := sets.of("teacher"):
            raise InputError(f"the teacher comes from {options['file']}; teacher.{next(iter(changed))} cannot be set")
        return Path(options["file"])
    return build(TeacherRecipe, {**options, **sets.of("teacher")}, "teacher")


def _protocol(given: Any, dataset: str, suggested: Mapping[str, Any], sets: _Sets) -> Any:
    options = dict(given) if isinstance(given, Mapping) else {"name": given or "fair"}
    name = options.pop("name", "fair")
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    scaled = _of("protocol", suggested) if name == "fair" else {}
    return protocol(name, dataset, {**scaled, **options, **sets.of("protocol")})


def _of(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one stage out of ``{"scheduler.iterations": 5}``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == stage}


def _swaps(request: Request) -> dict[str, str]:
    stages = ("initializer", "scheduler", "matcher", "relabeler")
    return {stage: getattr(request, stage) for stage in stages if getattr(request, stage)}


class _RowMaker:
    """Makes the rows of the comparison, all under the same dataset, suggestions and ``--set`` options."""

    def __init__(
        self,
        registry: Registry,
        dataset: str,
        ipc: int,
        suggested: Mapping[str, Any],
        sets: _Sets,
        swaps: Mapping[str, str],
    ) -> None:
        self.registry, self.dataset, self.ipc, self.suggested = registry, dataset, ipc, suggested
        self.sets, self.swaps = sets, swaps
        self.committee: list[str] = []  # models that the methods want beside the first teacher
        self.options_seen: dict[str, set[str]] = {
            "teacher": set(TeacherRecipe.model_fields),
            "protocol": set(type(PROTOCOLS["fair"]).model_fields),
        }
        self.notes: list[str] = []

    def rows(self, request: Request) -> list[Row]:
        shared = request.relabeler or ""
        rows = [self.from_table(table) for table in request.row]
        specs = [(spec, "method") for spec in request.method] + [(spec, "baseline") for spec in request.baseline]
        if not rows and not specs:
            raise InputError(f"no method given; use --method NAME (known: {', '.join(self.registry.names('method'))})")
        for spec, role in specs:
            row = self.from_spec(spec, "method" if role == "method" else "baseline", shared)
            shared = shared or row.relabeler.name
            rows.append(row)
        if specs:
            rows += self.controls(rows, request.control, shared)
        self._check_distinct(rows)
        return rows

    def from_spec(self, spec: str, role: Role, relabeler: str = "") -> Row:
        """A row from ``NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE``; components swapped by flag for methods alone."""
        name, assignments = split_spec(spec)
        method: Method = self.registry.get("method", name)
        swapped = {k: v for k, v in self.swaps.items() if k != "relabeler"} if role == "method" else {}
        own: dict[str, Any] = {}
        inline: dict[str, str] = {}
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if equals and key in ("initializer", "scheduler", "matcher", "relabeler"):
                inline[key] = value
            else:
                option, parsed = parse_assignment(assignment)
                own[option] = parsed
        chosen = {**({"relabeler": relabeler} if relabeler else {}), **swapped, **inline}
        if relabeler and relabeler != method.relabeler.name and "relabeler" not in inline:
            self.notes.append(f"{name} is relabelled by {relabeler} like the others (its own: {method.relabeler.name})")
        differs = [f"{k}={v}" for k, v in {**swapped, **inline}.items()] + [f"{k}={v}" for k, v in own.items()]
        label = f"{name} ({', '.join(differs)})" if differs else name
        for key in own:
            if key.partition(".")[0] not in ("initializer", "scheduler", "matcher", "relabeler"):
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
        for stage in ("initializer", "scheduler", "matcher", "relabeler"):
            choice: Choice | None = getattr(method, stage)
            wanted = chosen.get(stage, published.get(stage))
            if wanted and (choice is None or wanted != choice.name):
                choice = None if wanted == NOTHING else Choice(name=wanted)
            parts[stage] = self._component(stage, choice, method, _of(stage, own)) if choice else None
        if (parts["scheduler"] is None) != (parts["matcher"] is None):
            if chosen.get("scheduler") == NOTHING or chosen.get("matcher") == NOTHING:
                parts["scheduler"] = parts["matcher"] = None
            else:
                missing = "scheduler" if parts["scheduler"] is None else "matcher"
                here = f" on {self.dataset} at IPC {self.ipc}" if missing in published else ""
                raise InputError(f"{label}: {name} has no {missing}{here}; give one with --{missing} NAME")
        if any(part is not None and part.component.committee for part in parts.values()):
            members = self.suggested.get("committee", published.get("committee", method.committee))
            self.committee += [model for model in members if model not in self.committee]
        return Row(label=label, role=role, method=name, **parts)  # type: ignore[arg-type]

    def _component(self, stage: str, choice: Choice, method: Method, own: Mapping[str, Any]) -> Named[Any]:
        cls = self.registry.get(stage, choice.name)
        fields = list(cls.model_fields)
        self.options_seen.setdefault(stage, set()).update(fields)
        published = _of(stage, method.published(self.dataset, self.ipc))
        layers = [choice.options, _of(stage, self.suggested), published]
        options = {key: value for layer in layers for key, value in layer.items() if key in fields}
        where = f"{stage} {choice.name}"
        return Named(choice.name, build(cls, {**options, **self.sets.of(stage, fields), **own}, where))

    def from_table(self, table: Mapping[str, Any]) -> Row:
        """A row from a recipe's ``[[row]]`` table, every component with its own options, but for those swapped by flag."""
        parts: dict[str, Any] = {}
        label, role = str(table.get("label", table.get("method", "row"))), table.get("role", "method")
        for stage in ("initializer", "scheduler", "matcher", "relabeler"):
            options = dict(table.get(stage, {}))
            swapped = self.swaps.get(stage) if stage == "relabeler" or role == "method" else None
            if swapped and swapped != options.get("name"):
                options = {"name": swapped}
                label += f" ({stage}={swapped})" if stage != "relabeler" else ""
            if not options:
                continue
            name = options.pop("name", None)
            if name is None:
                raise InputError(f"row {table.get('label')!r}: {stage} has no name")
            cls = self.registry.get(stage, name)
            fields = list(cls.model_fields)
            self.options_seen.setdefault(stage, set()).update(fields)
            parts[stage] = Named(name, build(cls, {**options, **self.sets.of(stage, fields)}, f"{stage} {name}"))
        for needed in ("initializer", "relabeler"):
            if needed not in parts:
                raise InputError(f"row {table.get('label')!r} of the recipe has no {needed}")
        if ("scheduler" in parts) != ("matcher" in parts):
            raise InputError(
                f"row {table.get('label')!r} of the recipe needs both a scheduler and a matcher, or neither"
            )
        return Row(
            label=label,
            role=role,
            method=str(table.get("method", "")),
            ipc=int(table.get("ipc", 0)),
            **{"scheduler": None, "matcher": None, **parts},
        )

    def controls(self, rows: Sequence[Row], names: Sequence[str] | None, relabeler: str) -> list[Row]:
        """The control rows: each named control method, and each method's start with zero iterations."""
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
                        relabeler=row.relabeler,
                    )
                    for row in rows
                    if row.role == "method" and row.scheduler is not None
                ]
            else:
                candidates = [self.from_spec(name, "control", relabeler)]
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
            options = dict(table) if isinstance(table, Mapping) else {"name": table}
            name = options.pop("name", "student")
            cls = self.registry.get("evaluator", name)
            fields = list(cls.model_fields)
            self.options_seen.setdefault("evaluator", set()).update(fields)
            options |= self.sets.of("evaluator", fields)
            models: list[Any] = [None]
            if "model" in fields and "model" not in options:
                models = list(request.student) or [model]
            for student in models:
                chosen = options if student is None else {**options, "model": student}
                result.append(Named(name, build(cls, chosen, f"evaluator {name}")))
        titles = [named.component.title for named in result]
        for title in titles:
            if titles.count(title) > 1:
                raise InputError(
                    f"two evaluators are both {title!r} in the table; leave one out, and score by it with delt-host evaluate"
                )
        if request.student and not any("model" in named.component.model_fields_set for named in result):
            raise InputError("--student was given, but no evaluator of this run trains a student")
        return result

    def _check_distinct(self, rows: Sequence[Row]) -> None:
        for place, row in enumerate(rows):
            for other in rows[:place]:
                if row.label == other.label or row.same_images(other):
                    raise InputError(
                        f"{other.label!r} and {row.label!r} are the same row; --set changes every row alike, to change "
                        f"one write its own options: --method {row.method},STAGE.OPTION=VALUE"
                    )
