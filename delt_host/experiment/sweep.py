"""Sweeps over runs: a request that has several values for what is neither a row's nor a regime's own is several requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from delt_host.basics import file_words
from delt_host.basics.errors import InputError
from delt_host.basics.folder_names import distinct
from delt_host.basics.settings import shown
from delt_host.contracts.sweep import SWEEP_FILE, SWEEP_RECIPE
from delt_host.contracts.teacher import Teacher, Trained
from delt_host.contracts.varied import value_shown
from delt_host.experiment.columns import COLUMN_PARTS
from delt_host.experiment.grid import grid, is_sweep
from delt_host.experiment.request import Request
from delt_host.experiment.rows import PARTS
from delt_host.plugins.registry import Registry

_FILE = re.compile(r"(?<![^,=:\[])[^,=:\[\]]+\.py(?=[,:\]]|$)")
"""The file in a word that names something in one."""


class Planned(NamedTuple):
    """One run of a sweep."""

    name: str
    """Of its folder; empty where nothing is swept."""
    varied: dict[str, Any]
    """`dataset`, `ipc`, or an option by its dotted name, with its value."""
    request: Request
    """With that value alone."""


def points(request: Request, registry: Registry) -> list[Planned]:
    """The runs that are asked for: every combination of datasets, of images a class, and of the lists for options that take
    none; the request itself where there are no lists. InputError for what cannot be swept.

    Lists for options of rows and regimes stay: they are rows and columns of each run.
    """
    datasets = request.dataset if isinstance(request.dataset, list) else [request.dataset]
    words = _words(datasets)
    swept: dict[str, Sequence[Any]] = {}
    if isinstance(request.dataset, list):
        swept["dataset"] = words
    if isinstance(request.ipc, list):
        swept["ipc"] = request.ipc
    swept |= {key: value for key, value in request.set.items() if _of_runs(key, value, datasets, registry)}
    if not swept:
        return [Planned("", {}, request)]
    found = []
    combinations = grid(swept, "the sweep")
    folders = _folders(combinations)
    for folder, varied in zip(folders, combinations, strict=True):
        dataset = datasets[words.index(varied["dataset"])] if "dataset" in varied else request.dataset
        more = {key: value for key, value in varied.items() if key not in ("dataset", "ipc")}
        own = {"dataset": dataset, "ipc": varied.get("ipc", request.ipc), "set": {**request.set, **more}}
        found.append(Planned(folder, varied, request.model_copy(update=own)))
    return found


def _folders(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The name of each point's folder: `ipc-10`, `digits-ipc-10`; numbered where two would be the same."""
    names = [
        "-".join(
            value_shown(value) if key == "dataset" else f"{key.rpartition('.')[2]}-{value_shown(value)}"
            for key, value in varied.items()
        )
        for varied in combinations
    ]
    often = [
        f"{name} {names[:place].count(name) + 1}" if names.count(name) > 1 else name for place, name in enumerate(names)
    ]
    return [*distinct(often, (SWEEP_FILE, SWEEP_RECIPE)).values()]


def check_single(request: Request) -> None:
    """InputError for several datasets or numbers of images where one run is meant."""
    for key, given in (("dataset", request.dataset), ("ipc", request.ipc)):
        if isinstance(given, list):
            raise InputError(
                f"{key} is {shown(given)}, a sweep over runs, which delt-host run makes; one value is needed here"
            )


def recipe_table(request: Request) -> dict[str, Any]:
    """The recipe that repeats the sweep: what was asked for, with absolute paths."""
    table = request.model_dump(mode="json", exclude_none=True, exclude_defaults=True, exclude={"teacher"})
    table = {key: _with_paths(value) for key, value in table.items()}
    if "dataset" in table:
        given = table["dataset"]
        table["dataset"] = [*map(_absolute, given)] if isinstance(given, list) else _absolute(given)
    if request.teacher:
        table["teacher"] = [*map(_teacher, request.teacher)]
    return table


def _with_paths(value: Any) -> Any:
    """With the files that its words name by whole paths, as in ``cda,matcher=./mine.py:Mine``."""
    if isinstance(value, str):
        return _FILE.sub(lambda found: str(Path(found[0]).expanduser().absolute()), value)
    if isinstance(value, Mapping):
        return {key: _with_paths(each) for key, each in value.items()}
    return [*map(_with_paths, value)] if isinstance(value, list) else value


def _teacher(given: Any) -> Any:
    """As a recipe has it; one that is an object of Python by its network."""
    if isinstance(given, Teacher | Trained):
        return {"model": given.architecture}
    return str(Path(given).absolute()) if isinstance(given, str) and Path(given).is_file() else given


def _of_runs(key: str, value: Any, datasets: Sequence[Any], registry: Registry) -> bool:
    """Whether an option's value is several, each for a run of its own."""
    stage, _, option = key.partition(".")
    if stage in (*PARTS, *COLUMN_PARTS) or not isinstance(value, list):
        return False
    if key == "teacher.squeezer":
        return True
    if stage == "dataset":
        classes = [registry.get("dataset", name) for name in map(_name, datasets) if name]
    else:
        kind = {"teacher": "squeezer"}.get(stage, stage)
        classes = [*registry.things(kind).values()] if kind in registry.provided else []
    return any(isinstance(cls, type) and is_sweep(cls, option, value, registry) for cls in classes)


def _name(dataset: Any) -> str:
    given = dataset.get("name") if isinstance(dataset, Mapping) else "digits" if dataset is None else dataset
    return file_words.parts(given)[0] if isinstance(given, str) else ""


def _words(datasets: Sequence[Any]) -> list[str]:
    """What each dataset is called in a table: the folder that it lies in, or its name; all of it where that would be two's."""
    called, whole = [], []
    for dataset in datasets:
        place = ":".join(file_words.parts(dataset)[1:]) if isinstance(dataset, str) else ""
        called.append(Path(place).name or _name(dataset))
        whole.append(value_shown(dataset))
    return [short if called.count(short) == 1 else long for short, long in zip(called, whole, strict=True)]


def _absolute(dataset: Any) -> Any:
    """A dataset whose place is found from whichever folder the recipe is read in."""
    if not isinstance(dataset, str):
        return dataset
    name, *rest = file_words.parts(dataset)
    lies = Path(":".join(rest)).expanduser()
    return f"{name}:{lies.absolute()}" if rest and lies.exists() else dataset
