"""What a run leaves: experiment.toml, results.json, and the distilled set, its history and an image grid of every row."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from delt_host.compare import Line, finite, line_record
from delt_host.components import Cost, Distilled
from delt_host.data.base import RealData
from delt_host.distilled import DistilledSet, load
from delt_host.errors import InputError
from delt_host.experiment import Experiment, Row
from delt_host.plugins import Registry
from delt_host.problem import Problem
from delt_host.results import Measurement
from delt_host.teacher import Teacher

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
    lines: Sequence[Line],
    measurements: Sequence[Measurement],
    registry: Registry,
    with_sets: bool = True,
) -> dict[str, Any]:
    """Write everything but `experiment.toml`, without the distilled sets where they are in a folder already.

    Returns what is in `results.json`.
    """
    data, teacher = problem.data, problem.teacher
    results = {
        "experiment": experiment.table(),
        "dataset": {"name": data.name, "fingerprint": data.fingerprint, "notes": data.notes},
        "teachers": [{**each.facts(), "fingerprint": each.fingerprint} for each in problem.teachers],
        "protocol": {"title": experiment.protocol.title, "fingerprint": experiment.protocol.fingerprint},
        "lines": [line_record(line) for line in lines],
        "measurements": [_measurement(m) for m in measurements],
        "machine": {**machine(experiment), "reused": problem.store.differences.told() if problem.store else []},
        "plugins": [f"{p.name}: {p}" for p in registry.plugins],
    }
    text = json.dumps(finite(results), indent=1, default=str, allow_nan=False)
    (path / "results.json").write_text(text, encoding="utf-8")
    for measurement in measurements if with_sets else ():
        if measurement.distilled is None or measurement.row.role == "ceiling":
            continue
        folder = path / slug(measurement.row.label) / f"seed-{measurement.seed}"
        if (folder / "distilled.safetensors").exists() and measurement.evaluator != experiment.evaluators[0]:
            continue
        _distilled(measurement, experiment, data, teacher).save(folder / "distilled.safetensors")
        save_grid(measurement.distilled.pixels, data.num_classes, folder / "images.png")
        if measurement.history is not None:
            measurement.history.save(folder / "history.safetensors")
    written: dict[str, Any] = json.loads(text)
    return written


class SavedSets:
    """The distilled sets that a run left in its folder, by row and seed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, data: RealData, row: Row, seed: int) -> Distilled:
        """InputError where there is none, or one of other classes or size."""
        file = self.path / slug(row.label) / f"seed-{seed}" / "distilled.safetensors"
        found = load(file)
        if found.class_names != data.class_names:
            raise InputError(f"{file} is of other classes than {data.name}: {', '.join(found.class_names[:20])}")
        if found.pixels.shape[-1] != data.image_size:
            raise InputError(f"{file} has images of {found.pixels.shape[-1]} px, {data.name} of {data.image_size} px")
        cost = found.about.get("cost")
        return Distilled(found.pixels, found.targets, Cost(**cost) if cost else None)


def save_grid(pixels: Tensor, num_classes: int, path: Path) -> None:
    """A PNG with one line of images for each class, in the order in which they joined the optimisation."""
    per_class = pixels.view(num_classes, -1, *pixels.shape[1:])[:GRID_CLASSES, :GRID_IMAGES]
    grid = make_grid(per_class.flatten(0, 1), nrow=per_class.shape[1], padding=2, pad_value=255)
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


def _measurement(measurement: Measurement) -> dict[str, Any]:
    evaluation = measurement.evaluation
    return {
        "label": measurement.row.label,
        "seed": measurement.seed,
        "evaluator": measurement.evaluator.table(),
        "scores": evaluation.scores if evaluation else {},
        "facts": evaluation.facts if evaluation else {},
        "recover_seconds": measurement.recover_seconds,
        "failure": measurement.failure,
        "provenance": "measured",
    }


def _distilled(measurement: Measurement, experiment: Experiment, data: RealData, teacher: Teacher) -> DistilledSet:
    row = measurement.row
    if measurement.distilled is None or measurement.plan is None or measurement.labels is None:
        raise ValueError("a failed measurement has no distilled set")
    return DistilledSet(
        pixels=measurement.distilled.pixels,
        targets=measurement.distilled.targets,
        class_names=data.class_names,
        normalization=teacher.normalization,
        about={
            "method": row.label,
            "components": {stage: named.table() for stage, named in row.stages().items()},
            "ipc": row.ipc or experiment.ipc,
            "seed": measurement.seed,
            "dataset": {"name": data.name, "fingerprint": data.fingerprint},
            "teacher": {"architecture": teacher.architecture, "fingerprint": teacher.fingerprint},
            "labels": {"relabeler": row.relabeler.table(), "bytes": measurement.labels.size_bytes},
            "protocol": experiment.protocol.model_dump(mode="json"),
            "cost": asdict(measurement.distilled.cost) if measurement.distilled.cost else None,
            "machine": machine(experiment),
        },
    )
