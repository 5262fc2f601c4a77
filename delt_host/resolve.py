"""From what the user asked for (flags, a recipe file) to an experiment with every option set and checked.

Options are taken, later over earlier, from: the component's defaults, the method, what the dataset suggests, the
method's published settings for the dataset, ``--set``, and the row's own (``--method delt,scheduler.iterations=500``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from delt_host.asked_teachers import TeacherMaker
from delt_host.columns import ColumnMaker
from delt_host.compute import Compute
from delt_host.data.base import Dataset, RealData
from delt_host.errors import InputError
from delt_host.experiment import Budget, Experiment, Named
from delt_host.methods import Method
from delt_host.options import build
from delt_host.plugins import Plugin, Provided, Registry
from delt_host.request import Request, check_students, parse_seeds
from delt_host.rows import PARTS, RowMaker
from delt_host.services import Services
from delt_host.set_options import SetOptions
from delt_host.settings import LARGEST, named_table, shown
from delt_host.store import Store

DEFAULT_DATASET, DEFAULT_IPC, DEFAULT_CEILING_EPOCHS = "digits", 10, 20
DEFAULT_STUDENT = "convnet3"  # where no teacher says which
MOST_THREADS = 1024


def resolve(request: Request, registry: Registry, makes_images: bool = True) -> Experiment:
    """The experiment; InputError in one sentence for whatever is unknown, of the wrong type, or contradictory.

    Without `makes_images`, for sets that are there, whoever makes images asks no teacher.
    """
    registry = _with_methods(registry, request.methods)
    sets = SetOptions(request.set)
    dataset_name, dataset = _dataset(request.dataset, registry, sets)
    suggested, known_as = dict(dataset.suggested), dataset.published_as or dataset_name
    registry.get("dataset", known_as)
    ipc = request.ipc if request.ipc is not None else int(suggested.get("ipc", DEFAULT_IPC))
    _check_count("--ipc", ipc)
    maker = RowMaker(registry, known_as, ipc, suggested, sets, _swaps(request))
    rows = maker.rows(request)
    teacher_maker = TeacherMaker(registry, suggested, sets)
    given = teacher_maker.given(request.teacher)
    columns = ColumnMaker(registry, known_as, suggested, sets)
    regimes = columns.columns(request.regime, bool(given))
    model = given[0].model if given else str(suggested.get("teacher.model", DEFAULT_STUDENT))
    evaluators = maker.evaluators(request, rows, model)
    asking: list[tuple[str, Named[Any]]] = [p for row in rows if makes_images for p in row.stages().items()]
    asking += [("relabeler", column.relabeler) for column in regimes]
    asking += [("evaluator", each) for each in evaluators]
    teachers = teacher_maker.with_asked(given, asking)
    sets.check_all_used({**maker.options_seen, **columns.options_seen, "teacher": teacher_maker.options_seen})
    threads = torch.get_num_threads() if request.threads is None else request.threads
    _check_count("--threads", threads, MOST_THREADS)
    if threads > (cores := os.cpu_count() or threads):
        maker.notes.append(
            f"{threads} threads share {cores} processors, which is slow; --threads N takes fewer, for other last bits"
        )
    epochs = request.ceiling_epochs or (DEFAULT_CEILING_EPOCHS if request.ceiling else 0)
    if epochs:
        _check_count("--ceiling-epochs", epochs)
    if request.stack:  # 0: by the size of the images
        _check_count("--stack", request.stack)
    compute = Compute.choose(request.device or "auto", request.precision or "auto", request.stack)
    seeds = parse_seeds(request.seeds)
    return Experiment(
        dataset=Named(dataset_name, dataset),
        teachers=teachers,
        regimes=regimes,
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
        plugins=tuple(request.plugins),
        prefer=tuple(request.prefer),
        match=Budget.parse(request.match) if request.match else None,
        ceiling_epochs=epochs,
        notes=tuple(maker.notes),
    )


def _check_count(option: str, count: int, most: int = LARGEST) -> None:
    if not 1 <= count <= most:
        right = f"1 to {most:,}" if most < LARGEST else "at least 1" if count < 1 else f"{most:,} at most"
        raise InputError(f"{option} must be {right}, not {shown(count)}")


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
    return replace(registry, provided={**registry.provided, "method": methods})


def _dataset(given: Any, registry: Registry, sets: SetOptions) -> tuple[str, Dataset]:
    if isinstance(given, str):
        name, _, place = given.partition(":")
        options = {"": place} if place else {}
    else:
        name, options = named_table({} if given is None else given, "the dataset of the recipe", DEFAULT_DATASET)
    cls: type[Dataset] = registry.get("dataset", name)
    if "" in options:
        if not cls.location:
            raise InputError(f"dataset {name} is read from no place; leave out ':{options['']}'")
        options[cls.location] = options.pop("")
    made = build(cls, {**options, **sets.of("dataset")}, f"dataset {name}")
    lies = getattr(made, cls.location) if cls.location else ""
    if lies and os.path.lexists(found := os.path.expanduser(lies)):  # noqa: PTH111
        # Where it lies whichever folder the recipe is read in; what is no path here may be a name elsewhere.
        made = made.model_copy(update={cls.location: os.path.abspath(found)})  # noqa: PTH100
    return name, made


def load_named_dataset(name: str, registry: Registry, options: Mapping[str, Any], store: Store) -> RealData:
    """The dataset that ``--dataset NAME[:PATH]`` and ``--set dataset.OPTION=VALUE`` stand for; decoded images go to `store`."""
    sets = SetOptions(options)
    dataset = _dataset(name, registry, sets)[1]
    for key in options:
        if key not in sets.used:
            raise InputError(f"--set {key} has no place here; only dataset options do")
    return dataset.load(Services(store)).checked()


def _swaps(request: Request) -> dict[str, str]:
    return {stage: getattr(request, stage) for stage in PARTS if getattr(request, stage)}
