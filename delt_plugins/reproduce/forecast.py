"""``reproduce --dry-run``: hours and bytes of every cell, and what data or teachers are missing; nothing is run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from delt_host import InputError, RealData, Split
from delt_host.toolbox import IMAGENET_MEAN, IMAGENET_STD
from delt_host.workshop import (
    AskedTeacher,
    Experiment,
    Host,
    Name,
    Stopwatch,
    Upcoming,
    outlined,
    plan_run,
    size,
)
from delt_plugins.reproduce.cell import Trial
from delt_plugins.reproduce.measure import Shelf
from delt_plugins.reproduce.records import CellFolder, record_of
from delt_plugins.reproduce.table import KnownDataset, PaperTable


class Absent(Split):
    """As many labels as a dataset that is not here is known to have, and no images."""

    def __init__(self, count: int, classes: int) -> None:
        self.targets = torch.arange(count) % classes

    def read(self, indices: Tensor) -> Tensor:
        raise InputError("a dry run reads no images")


def stand_in(name: str, known: KnownDataset, image_size: int) -> RealData:
    """A dataset of known size without its images."""
    classes = tuple(map(str, range(known.classes)))
    train, test = Absent(known.train, known.classes), Absent(known.test, known.classes)
    return RealData(name, classes, image_size, IMAGENET_MEAN, IMAGENET_STD, train, test, f"absent {name}")


@dataclass(frozen=True)
class Forecast:
    """What one cell would take."""

    name: str
    done: int
    seeds: int
    lines: tuple[Upcoming, ...] = ()
    real_bytes: int = 0
    """Of the images of rows that optimise nothing, which have no step of their own."""
    missing: str = ""
    """What is not here, in words; empty where the cell can be run."""

    @property
    def hours(self) -> float:
        """Of what is left; NaN where nobody knows."""
        if self.missing and not self.lines:
            return math.nan
        return sum(line.seconds for line in self.lines) / 3600

    @property
    def bytes(self) -> int:
        return self.real_bytes + sum(line.bytes for line in self.lines)


def forecasts(trials: Sequence[Trial], table: PaperTable, folder: CellFolder, host: Host) -> list[Forecast]:
    """A forecast for every cell, by passes of each network timed once now."""
    shelf, watch, made = Shelf(host), Stopwatch(host.observer), set[Name]()
    return [_cell(trial, table, folder, host, shelf, watch, made) for trial in trials]


def _cell(
    trial: Trial, table: PaperTable, folder: CellFolder, host: Host, shelf: Shelf, watch: Stopwatch, made: set[Name]
) -> Forecast:
    record = folder.find(record_of(trial, table.file.title))
    left = tuple(seed for seed in trial.experiment.seeds if seed not in record.seeds)
    done, seeds = len(trial.experiment.seeds) - len(left), len(trial.experiment.seeds)
    if not left:
        return Forecast(record.name, done, seeds)
    experiment = dataclasses.replace(trial.experiment, seeds=left)
    missing = ""
    try:
        data = shelf.take(trial)
    except InputError as error:
        missing = str(error)
        dataset = trial.cell.setting.dataset or ""
        known = table.file.datasets.get(dataset)
        if known is None:
            return Forecast(record.name, done, seeds, missing=missing)
        data = stand_in(dataset, known, _image_size(experiment) or known.image_size)
    lines = plan_run(outlined(experiment, host, data), watch, made)
    one = data.num_classes * experiment.ipc * 3 * data.image_size**2 * len(left)
    real = one * sum(row.scheduler is None for row in experiment.rows)
    return Forecast(record.name, done, seeds, tuple(lines), real, missing)


def _image_size(experiment: Experiment) -> int:
    return int(getattr(experiment.dataset.component, "image_size", 0))


def teachers_to_make(trials: Sequence[Trial], forecasts: Sequence[Forecast]) -> list[str]:
    """The teachers that are neither given nor in the store, each once, in words."""
    found: dict[str, None] = {}
    for trial, cell in zip(trials, forecasts, strict=True):
        missing = {line.what for line in cell.lines if line.stage == "squeeze" and not line.done}
        for teacher in trial.experiment.teachers:
            if not isinstance(teacher.made_by, Path) and teacher.name in missing:
                found[f"teacher {_teacher(teacher)} for {trial.cell.setting.dataset}"] = None
    return list(found)


def _teacher(teacher: AskedTeacher) -> str:
    recipe = teacher.recipe
    if recipe.get("weights"):
        return f"{teacher.name}: torchvision's {recipe['weights']} are fetched"
    epochs = f"{recipe['epochs']} epochs of " if "epochs" in recipe else ""
    return f"{teacher.name}: not in the store, {epochs}squeezing come first"


def show(console: Console, title: str, trials: Sequence[Trial], forecasts: Sequence[Forecast]) -> None:
    """Print the dry run."""
    table = Table(title=escape(f"dry run of {title}: nothing is computed"), title_justify="left")
    table.add_column("cell", overflow="fold")
    for heading in ("seeds done", "hours left", "bytes", "data"):
        table.add_column(heading, no_wrap=True, justify="right")
    for cell in forecasts:
        left = "?" if math.isnan(cell.hours) else f"{cell.hours:,.2f}"
        here = "kept" if cell.done == cell.seeds else "missing" if cell.missing else "here"
        done = f"{cell.done} of {cell.seeds}"
        table.add_row(escape(cell.name), done, left, size(cell.bytes) if cell.lines else "–", here)
    console.print(table)
    known = [cell for cell in forecasts if not math.isnan(cell.hours)]
    hours, kept = sum(cell.hours for cell in known), sum(cell.bytes for cell in known)
    device = trials[0].experiment.device if trials else "cpu"
    told = f"About {hours:,.1f} hours of work left on {device}, {size(kept)} in all"
    unknown = len(forecasts) - len(known)
    console.print(
        f"  {told}{f'; of {unknown} cells nobody knows' if unknown else ''}. Teachers and images that cells share are "
        "counted once; the estimate is from passes timed just now.",
        highlight=False,
    )
    for line in teachers_to_make(trials, forecasts):
        console.print(f"  missing: {escape(line)}", highlight=False)
    for reason in dict.fromkeys(cell.missing for cell in forecasts if cell.missing):
        count = sum(cell.missing == reason for cell in forecasts)
        console.print(f"  missing for {count} cell{'s' * (count != 1)}: {escape(reason)}", highlight=False)
