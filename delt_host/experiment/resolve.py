"""From what the user asked for (flags, a recipe file) to an experiment with every option set and checked.

Options are taken, later over earlier, from: the component's defaults, the method, what the dataset suggests, the
method's published settings for the dataset, ``--set``, and the row's own (``--method delt,scheduler.iterations=500``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError
from delt_host.basics.options import build
from delt_host.basics.settings import LARGEST, shown
from delt_host.contracts.dataset import RealData
from delt_host.contracts.methods import Method
from delt_host.contracts.services import Services
from delt_host.contracts.teacher import Teacher
from delt_host.contracts.validation import check_share
from delt_host.experiment.asked_teachers import check_teacher_seeds, given_teachers, with_asked
from delt_host.experiment.columns import ColumnMaker, evaluators
from delt_host.experiment.experiment import AskedTeacher, Budget, Experiment, Named
from delt_host.experiment.parts import Parts
from delt_host.experiment.published import with_published
from delt_host.experiment.request import Request
from delt_host.experiment.rows import PARTS, RowMaker
from delt_host.experiment.sets import check_comparable, sets_of
from delt_host.experiment.sweep import check_single
from delt_host.plugins.registry import Plugin, Provided, Registry
from delt_host.store.store import Store

DEFAULT_IPC, DEFAULT_CEILING_EPOCHS = 10, 20
DEFAULT_STUDENT = "convnet3"  # where no teacher says which
MOST_THREADS = 1024


def resolve(request: Request, registry: Registry, makes_images: bool = True) -> Experiment:
    """The experiment; InputError in one sentence for whatever is unknown, of the wrong type, or contradictory.

    Without `makes_images`, for sets that are there, whoever makes images asks no teacher.
    """
    check_single(request)
    parts = Parts(_with_methods(registry, request.methods), request.dataset, request.set)
    registry.get("dataset", parts.published_as)
    ipc = request.ipc if isinstance(request.ipc, int) else int(parts.suggested.get("ipc", DEFAULT_IPC))
    _check_count("--ipc", ipc)
    swaps = {stage: getattr(request, stage) for stage in PARTS if getattr(request, stage)}
    rows = RowMaker(parts, ipc, swaps).rows(request)
    given = given_teachers(request.teacher, parts)
    model = given[0].model if given else str(parts.suggested.get("teacher.model", DEFAULT_STUDENT))
    scorers = evaluators(request, rows, model, parts)
    trained = dict.fromkeys(model for named in scorers for model in named.component.trainings)
    maker = ColumnMaker(parts, ipc, tuple(trained))
    regimes = maker.columns(request.regime, bool(given))
    rows = with_published(rows, parts, ipc, tuple(trained))
    asking: list[tuple[str, Named[Any]]] = [p for row in rows if makes_images for p in row.stages().items()]
    asking += [("relabeler", column.relabeler) for column in regimes]
    asking += [("evaluator", each) for each in scorers]
    teachers = with_asked(given, asking, parts)
    parts.check_all_used()
    _remember_networks(parts, teachers, scorers)
    threads = torch.get_num_threads() if request.threads is None else request.threads
    _check_count("--threads", threads, MOST_THREADS)
    cores = os.cpu_count() or threads
    slow = f"{threads} threads share {cores} processors, which is slow; --threads N takes fewer, for other last bits"
    epochs = request.ceiling_epochs or (DEFAULT_CEILING_EPOCHS if request.ceiling else 0)
    if epochs:
        _check_count("--ceiling-epochs", epochs)
    if request.stack:  # 0: by the size of the images
        _check_count("--stack", request.stack)
    compute = Compute.choose(request.device or "auto", request.precision or "auto", request.stack, request.compile)
    sets = sets_of(request)
    if (sets.resolve, sets.budget) != (None, None):
        check_comparable([row.label for row in rows])
    return Experiment(
        dataset=parts.dataset,
        teachers=teachers,
        regimes=regimes,
        ipc=ipc,
        **sets._asdict(),
        teacher_seeds=check_teacher_seeds(request.teacher_seeds, teachers, sets.seeds),
        rows=rows,
        evaluators=scorers,
        device=compute.device,
        precision=compute.precision,
        stack=compute.stack,
        threads=threads,
        strict=request.strict,
        compile=compute.compiled,
        plugins=tuple(request.plugins),
        prefer=tuple(request.prefer),
        match=Budget.parse(request.match) if request.match else None,
        ceiling_epochs=epochs,
        validate=check_share(request.validate or 0.0),
        objects=tuple(parts.objects),
        notes=(
            *((slow,) if threads > cores else ()),
            *((compute.note,) if compute.note else ()),
            *maker.not_taken(regimes),
            *registry.files.remarks,
        ),
    )


def _remember_networks(parts: Parts, teachers: Sequence[AskedTeacher], scorers: Sequence[Named[Any]]) -> None:
    """Have the parts remember which of a run's networks are objects."""
    students = [model for named in scorers for model in named.component.trainings]
    for model in dict.fromkeys([*(teacher.model for teacher in teachers), *students]):
        if model in parts.registry.provided["model"]:
            parts.provider("model", model)
    parts.objects += [f"teacher {each.name}" for each in teachers if isinstance(each.made_by, Teacher)]


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


def load_named_dataset(name: str, registry: Registry, options: Mapping[str, Any], store: Store) -> RealData:
    """The dataset that ``--dataset NAME[:PATH]`` and ``--set dataset.OPTION=VALUE`` stand for; decoded images go to `store`."""
    parts = Parts(registry, name, options)
    for key in options:
        if key not in parts.used:
            raise InputError(f"--set {key} has no place here; only dataset options do")
    return parts.dataset.component.load(Services(store)).checked()
