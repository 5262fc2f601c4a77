"""From a table's cell to the experiment that measures it: the host's own request, resolved, at a scale and in a reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from delt_host import InputError, Method, Protocol, Teacher
from delt_host.toolbox import digest
from delt_host.workshop import Experiment, Named, Registry, Request, resolve, split_spec, unknown
from delt_plugins.reproduce.table import Cell, CellSetting, PaperTable, Reading, Scale

NAMED_BY_NOBODY = "views"
"""What the students of a cell are told where neither table nor method says anything: one regime, as a cell is one figure."""
SIZE = "dataset.image_size"
"""The one option of a dataset that changes what is measured; the others say where it lies."""


@dataclass(frozen=True)
class Mine:
    """What the user has in place of what a table names, and wants beside it."""

    datasets: Mapping[str, str] = field(default_factory=dict)
    """A table's dataset to one's own, as ``--dataset`` takes it: ``{"cifar10": "folder:PATH"}``."""
    teachers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """A table's dataset, or "" for all others, to teachers."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Options that go before the table's."""
    seeds: str | None = None
    device: str | None = None
    precision: str | None = None
    stack: int | None = None
    compile: bool = False
    plugins: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """A cell in one reading at one scale, resolved: what is run, and under which name its result is kept."""

    table: str
    cell: Cell
    reading: str
    scale: str
    experiment: Experiment
    settings: dict[str, Any]
    """What the result depends on, but for seeds, data and machine."""
    share: Scale
    changed: tuple[str, ...] = ()
    """What the user asked for in place of what the table says, in words."""
    mine: frozenset[str] = frozenset()
    """The user's own options that the cell has taken."""

    @property
    def score(self) -> str:
        return self.cell.setting.score or self.experiment.evaluators[0].component.headline

    @property
    def unit(self) -> str:
        """The score's unit; empty for ratios and plain numbers."""
        component = self.experiment.evaluators[0].component
        return component.unit if self.score == component.headline and self.cell.setting.per is None else ""

    @property
    def digest(self) -> str:
        """Eight digits that differ whenever a setting does."""
        return digest(self.settings)[:8]


def trials(
    table: PaperTable, cells: Sequence[Cell], readings: Sequence[str], scale: str, mine: Mine, registry: Registry
) -> list[Trial]:
    """Every cell in every reading. InputError naming table and cell for whatever cannot be resolved."""
    check_names(table, mine)
    found = [trial(table, cell, reading, scale, mine, registry) for cell in cells for reading in readings]
    for key in mine.set:
        if not any(key in one.mine for one in found):  # resolved once more, for the error that names the nearest option
            trial(table, cells[0], readings[0], scale, replace(mine, set={key: mine.set[key]}), registry, strict=True)
    return found


def trial(
    table: PaperTable, cell: Cell, reading: str, scale: str, mine: Mine, registry: Registry, strict: bool = False
) -> Trial:
    """The cell as a trial; the user's own options go to cells that have them, or with `strict` to any."""
    setting, chosen = cell.setting, table.scale(scale)
    known = table.file.datasets.get(setting.dataset or "")
    given = mine.teachers.get(setting.dataset or "", mine.teachers.get("", ()))
    teachers = given or _listed(setting.teacher)
    read = table.reading(reading, registry.names("regime"))
    own = {key: value for key, value in setting.set.items() if not (_from_files(teachers) and _stage(key) == "teacher")}
    request = Request(
        dataset=_dataset(setting.dataset, mine, registry),
        teacher=list(teachers),
        regime=[_regime(setting, read, registry)],
        ipc=setting.ipc,
        seeds=mine.seeds or chosen.seeds,
        method=[setting.method] if setting.method else [],
        baseline=[setting.per] if setting.per else [],
        control=[],
        student=[setting.student] if setting.student else [],
        evaluator=[setting.evaluator] if setting.evaluator else [],
        device=mine.device,
        precision=mine.precision,
        stack=mine.stack,
        compile=mine.compile,
        plugins=list(mine.plugins),
        prefer=list(mine.prefer),
    )
    try:
        bare = resolve(request.model_copy(update={"set": own}), registry)
        soft = {**(known.set if known else {}), **read.set, **chosen.set}
        options = {**{key: value for key, value in soft.items() if _has(bare, key) and key not in own}, **own}
        wanted = {key: value for key, value in mine.set.items() if strict or _has(bare, key)}
        experiment = resolve(request.model_copy(update={"set": {**options, **wanted}}), registry)
        experiment = at_scale(experiment, chosen)
    except InputError as error:
        raise InputError(f"{table.name}, {cell.name}: {error}") from None
    size = experiment.dataset.component.model_dump().get("image_size")
    sized = {"image_size": size} if SIZE in {**own, **wanted} else {}
    settings = {"dataset": {"name": setting.dataset, **sized}, **_settings(experiment)}
    changed = [f"teacher {', '.join(Path(name).name for name in given)}"] if given else []
    changed += [f"{key}={value}" for key, value in wanted.items() if _stage(key) != "dataset" or key == SIZE]
    settings = json.loads(json.dumps(settings))
    return Trial(table.name, cell, reading, scale, experiment, settings, chosen, tuple(changed), frozenset(wanted))


def at_scale(experiment: Experiment, scale: Scale) -> Experiment:
    """The experiment with the scale's share of its schedules' iterations and of its protocols' epochs."""
    rows = experiment.rows
    if scale.iterations != 1:
        rows = tuple(
            replace(row, scheduler=Named(row.scheduler.name, row.scheduler.component.stretched(scale.iterations)))
            if row.scheduler
            else row
            for row in rows
        )
    regimes = tuple(
        replace(column, protocol=replace(column.protocol, component=_scaled(column.protocol.component, scale)))
        for column in experiment.regimes
    )
    return replace(experiment, rows=rows, regimes=regimes)


def _scaled(protocol: Protocol, scale: Scale) -> Protocol:
    return protocol.model_copy(update={"epochs": max(round(protocol.epochs * scale.epochs), 1)})


def iterations(experiment: Experiment) -> int:
    """T of the cell's row; 0 where nothing is optimised or the schedule does not say."""
    scheduler = experiment.rows[0].scheduler
    return int(getattr(scheduler.component, "iterations", 0)) if scheduler else 0


def epochs(experiment: Experiment) -> int:
    """Of the cell's students; 0 where its evaluator trains none."""
    return experiment.regimes[0].protocol.component.epochs if experiment.evaluators[0].component.trainings else 0


def check_names(table: PaperTable, mine: Mine) -> None:
    """InputError where a dataset is mapped that the table has not."""
    names = dict.fromkeys(cell.setting.dataset for cell in table.cells if cell.setting.dataset)
    for name in (*mine.datasets, *mine.teachers):
        if name and name not in names:
            raise unknown(f"dataset of {table.name}", name, names)


def _dataset(name: str | None, mine: Mine, registry: Registry) -> str | dict[str, Any] | None:
    """The dataset as the table names it, or the user's own in its place, with what is published for the named one."""
    if name is None or name not in mine.datasets:
        return name
    own, _, place = mine.datasets[name].partition(":")
    cls = registry.get("dataset", own) if own in registry.names("dataset") else None
    if cls is None or "published" not in cls.model_fields or (place and not cls.location):
        return mine.datasets[name]  # who reads the recipe says what is wrong with it, if anything is
    return {"name": own, **({cls.location: place} if place else {}), "published": name}


def _regime(setting: CellSetting, read: Reading, registry: Registry) -> str:
    """The one that the cell names, the reading's, or the one that the method is published with."""
    said = setting.regime or read.regime
    if not said and setting.method is not None:
        method: Method = registry.get("method", split_spec(setting.method)[0])
        said = method.published(setting.dataset or "", setting.ipc or 0).get("regime", method.regime)
    return said or NAMED_BY_NOBODY


def _listed(teacher: str | list[str] | None) -> tuple[str, ...]:
    return () if teacher is None else (teacher,) if isinstance(teacher, str) else tuple(teacher)


def _from_files(teachers: Sequence[str]) -> bool:
    return any(name.endswith(".safetensors") or Path(name).is_file() for name in teachers)


def _stage(key: str) -> str:
    return key.partition(".")[0]


def _has(experiment: Experiment, key: str) -> bool:
    """Whether anything in the experiment has the option ``STAGE.OPTION``."""
    stage, _, option = key.partition(".")
    if stage == "teacher":
        return not any(isinstance(teacher.made_by, Path) for teacher in experiment.teachers)
    shared: dict[str, list[Any]] = {
        "dataset": [experiment.dataset.component],
        "protocol": [column.protocol.component for column in experiment.regimes],
        "relabeler": [column.relabeler.component for column in experiment.regimes],
        "evaluator": [named.component for named in experiment.evaluators],
    }
    things = shared.get(stage) or [row.stages()[stage].component for row in experiment.rows if stage in row.stages()]
    return any(option in type(thing).model_fields for thing in things)


def _settings(experiment: Experiment) -> dict[str, Any]:
    """What is measured, without where and on what."""
    table = experiment.table()
    return {
        "ipc": experiment.ipc,
        "teacher": [
            {"fingerprint": Teacher.load(t.made_by).fingerprint} if isinstance(t.made_by, Path) else t.table()
            for t in experiment.teachers
        ],
        "regime": table["regime"],
        "evaluator": table["evaluator"],
        "row": [{stage: named.table() for stage, named in row.stages().items()} for row in experiment.rows],
    }


def mapped(pairs: Sequence[str], what: str) -> dict[str, str]:
    """``cifar10=folder:PATH`` options as a mapping; InputError for another form."""
    found = {}
    for text in pairs:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{what} {text!r} is not of the form NAME=VALUE, e.g. cifar10=folder:PATH")
        found[name] = value
    return found
