"""What a run leaves: experiment.toml, results.json, and the distilled set, its history and an image grid of every row."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.utils import make_grid

from delt_host.compare import compare
from delt_host.components import Distilled
from delt_host.data.base import RealData
from delt_host.derived import derived
from delt_host.distilled import DistilledSet, load
from delt_host.errors import InputError, RunError
from delt_host.experiment import Column, Experiment, Row
from delt_host.host import Host
from delt_host.measurement import Measurement, row_record
from delt_host.plugins import Registry
from delt_host.problem import Problem
from delt_host.reader import ImageReader
from delt_host.results import (
    DataRecord,
    Environment,
    EvaluatorRecord,
    PluginRecord,
    ProtocolRecord,
    RegimeRecord,
    Results,
    TeacherRecord,
)

GRID_IMAGES = 10  # of each class, in the order in which they joined
GRID_CLASSES = 20


def open_folder(path: Path, experiment: Experiment) -> None:
    """Make the run's folder and write `experiment.toml` first, so that an interrupted run can be repeated."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / "experiment.toml").write_text(experiment.to_toml(), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the run folder {path} cannot be written: {error.strerror}; choose another with --out"
        ) from None


def write_results(
    path: Path,
    experiment: Experiment,
    problem: Problem,
    measurements: Sequence[Measurement],
    host: Host,
    with_sets: bool = True,
) -> Results:
    """Write everything but `experiment.toml`, without the distilled sets where they are in a folder already.

    Scores that are worked out of others are made here, and told to the observer. Returns what is in `results.json`.
    """
    results = _results(experiment, problem, measurements, host)
    results.write(path)
    data, written = problem.data, set[tuple[str, int]]()
    for measurement in measurements if with_sets else ():
        if measurement.distilled is None:
            continue
        folder = path / slug(measurement.row.label) / f"seed-{measurement.seed}"
        if (folder / "distilled.safetensors").exists() and (measurement.row.label, measurement.seed) in written:
            continue
        written.add((measurement.row.label, measurement.seed))
        _distilled(measurement, experiment, problem).save(folder / "distilled.safetensors")
        save_grid(measurement.distilled, data.num_classes, folder / "images.png")
        if measurement.history is not None:
            measurement.history.save(folder / "history.safetensors")
    return results


def _reused(problem: Problem) -> tuple[str, ...]:
    """What was used although it was made with other threads or versions than this run's."""
    return tuple(problem.store.differences.told()) if problem.store else ()


def _results(experiment: Experiment, problem: Problem, measurements: Sequence[Measurement], host: Host) -> Results:
    data, evaluators = problem.data, experiment.evaluators
    rows: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        rows.setdefault(measurement.row.label, []).append(measurement)
    results = Results(
        recipe=experiment.table(),
        data=DataRecord(
            name=data.name,
            fingerprint=data.fingerprint,
            classes=data.num_classes,
            training_images=len(data.train),
            test_images=len(data.test),
            notes=data.notes,
        ),
        teachers=tuple(
            TeacherRecord(name=each.called, **each.facts(), fingerprint=each.fingerprint) for each in problem.teachers
        ),
        regimes=tuple(_regime(column) for column in experiment.regimes),
        evaluators=tuple(
            EvaluatorRecord(
                name=named.name,
                title=named.component.title,
                headline=named.component.headline,
                unit=named.component.unit,
                better=named.component.better,
                per=named.component.per,
                options=named.component.model_dump(mode="json"),
            )
            for named in evaluators
        ),
        rows=tuple(row_record(experiment, own) for own in rows.values()),
        scores=tuple(measurement.score for measurement in measurements),
        differences=(),
        environment=Environment(**machine(experiment), notes=_reused(problem)),
        plugins=tuple(
            PluginRecord(**{name: getattr(p, name) for name in PluginRecord.model_fields})
            for p in host.registry.plugins
        ),
    )
    more = derived(experiment, results, host)
    for score in more:
        host.observer.scored(score, None)
    results = results.model_copy(update={"scores": results.scores + more})
    return results.model_copy(update={"differences": compare(results)})


def _regime(column: Column) -> RegimeRecord:
    protocol = column.protocol.component
    return RegimeRecord(
        name=column.name,
        relabeler=column.relabeler.table(),
        protocol=ProtocolRecord(title=column.protocol_title, report=protocol.report, fingerprint=protocol.fingerprint),
    )


class SavedSets:
    """The distilled sets that a run left in its folder, by row and seed."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self.path, self.registry = path, registry

    def __call__(self, data: RealData, row: Row, seed: int) -> Distilled:
        """RunError where there is none, InputError for one of other classes or size."""
        file = self.path / slug(row.label) / f"seed-{seed}" / "distilled.safetensors"
        if not file.is_file():
            raise RunError(f"no distilled set at {file}: the row has failed there, or has no such seed")
        found = load(file, partial(self.registry.get, "form"))
        if found.class_names != data.class_names:
            raise InputError(f"{file} is of other classes than {data.name}: {', '.join(found.class_names[:20])}")
        if found.image_size != data.image_size:
            raise InputError(f"{file} has images of {found.image_size} px, {data.name} of {data.image_size} px")
        if found.distilled.form != row.form.component:
            raise InputError(f"{file} is stored in another form than experiment.toml says: {found.form}")
        return found.distilled


def save_grid(images: ImageReader, num_classes: int, path: Path) -> None:
    """A PNG with one line of images for each class, in the order in which they joined the optimisation."""
    own = [(images.targets == label).nonzero().flatten() for label in range(min(num_classes, GRID_CLASSES))]
    along = min(GRID_IMAGES, *map(len, own))
    pixels = images.read(torch.cat([places[:along] for places in own]))
    grid = make_grid(pixels, nrow=along, padding=2, pad_value=255)
    factor = max(1, 64 // pixels.shape[-1])
    enlarged = grid.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    Image.fromarray(enlarged.permute(1, 2, 0).contiguous().numpy()).save(path)


def slug(label: str) -> str:
    """The label as a folder name: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.") or "row"


def machine(experiment: Experiment) -> dict[str, Any]:
    """Where and with what the run was made."""
    packages = ("delt-host", "torch", "torchvision", "timm")
    device = experiment.device
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "precision": experiment.precision,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in packages},
    }


def _distilled(measurement: Measurement, experiment: Experiment, problem: Problem) -> DistilledSet:
    row, data = measurement.row, problem.data
    first = problem.teachers[0] if problem.teachers else None
    if measurement.distilled is None or measurement.plan is None:
        raise ValueError("a failed measurement has no distilled set")
    return DistilledSet(
        distilled=measurement.distilled,
        form=row.form.name,
        class_names=data.class_names,
        normalization=problem.normalization,
        about={
            "method": row.label,
            "components": {stage: named.table() for stage, named in row.stages().items()},
            "ipc": experiment.ipc,
            "seed": measurement.seed,
            "dataset": {"name": data.name, "fingerprint": data.fingerprint},
            "teacher": {"architecture": first.architecture, "fingerprint": first.fingerprint} if first else None,
            "cost": asdict(measurement.distilled.cost) if measurement.distilled.cost else None,
            "machine": machine(experiment),
        },
    )
