"""What a run leaves: experiment.toml, results.json, and the distilled set, its history and an image grid of every row."""

from __future__ import annotations

import io
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

from delt_host.basics.accelerator import device_name
from delt_host.basics.errors import InputError, RunError, writing_to
from delt_host.compare.differences import compare
from delt_host.contracts.dataset import RealData
from delt_host.contracts.reader import ImageReader
from delt_host.contracts.results import RESULTS_FILE as RESULTS
from delt_host.contracts.results import (
    DataRecord,
    Environment,
    EvaluatorRecord,
    PluginRecord,
    ProtocolRecord,
    RegimeRecord,
    Results,
    RowRecord,
    Score,
    SetRecord,
    TeacherRecord,
    read_results,
)
from delt_host.experiment.experiment import Column, Experiment
from delt_host.runs.place import PAGE_FILE, MadeBy
from delt_host.runs.saved_sets import SavedSets
from delt_host.stages.derived import derived
from delt_host.stages.given import Saved
from delt_host.stages.measurement import Measurement, row_record
from delt_host.stages.story import Comparison
from delt_host.store import files

GRID_IMAGES = 10  # of each class, in the order in which they joined
GRID_CLASSES = 20


def write_results(path: Path, results: Results, sets: Sequence[SetRecord]) -> Results:
    """Write `results.json` with the sets that it is of; a page that shows others goes. RunError where that fails."""
    check_nothing_lost(path, results)
    results = results.model_copy(update={"sets": tuple(sets)})
    with writing_to(path / RESULTS):
        with suppress(OSError, ValueError):
            if (path / RESULTS).read_text(encoding="utf-8") == results.text():
                return results
        (path / PAGE_FILE).unlink(missing_ok=True)
        results.write(path)
    return results


def check_nothing_lost(path: Path, results: Results) -> None:
    """RunError where these results have failures in place of scores that the folder has of the same recipe, or are of other
    images."""
    try:
        former = read_results(path)
    except InputError:
        return
    _check_same(path, former, results.data.fingerprint)
    failed = {which(score) for score in results.scores if score.failure}
    if lost := sorted({score.row for score in former.scores if not score.failure and which(score) in failed}):
        raise RunError(
            f"failed: {', '.join(lost)}; {path} has their former scores, and is left as it was; the same command goes on"
        )


def check_images(path: Path, data: RealData) -> None:
    """RunError where the folder has results of other images than these."""
    with suppress(InputError):
        _check_same(path, read_results(path), data.fingerprint)


def _check_same(path: Path, former: Results, fingerprint: str) -> None:
    if former.data.fingerprint != fingerprint:
        raise RunError(
            f"{path} has the results of other images of {former.data.name}, and is left as it was; choose another --out"
        )


def which(score: Score) -> tuple[object, ...]:
    """What a score is of, and by whom: no two of a run are alike in it."""
    return score.row, score.regime, score.evaluator, score.set, score.student, score.split


def results_of(
    comparison: Comparison,
    measurements: Sequence[Measurement],
    made_by: MadeBy = "run",
    whole: bool = True,
) -> Results:
    """What was measured, as it goes into `results.json`.

    Scores that are worked out of others are made here, and told to the observer, where the run is `whole`.
    """
    experiment, data, host = comparison.experiment, comparison.problem.data, comparison.host
    evaluators = experiment.evaluators
    rows: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        rows.setdefault(measurement.row.label, []).append(measurement)
    seen = (teacher.may_have_seen(data) for own in comparison.teachers for teacher in own)
    results = Results(
        made_by=made_by,
        recipe={**experiment.table(), "seeds": list(experiment.seeds)},  # a pilot's recipe does not say them
        data=DataRecord(
            name=data.name,
            fingerprint=data.fingerprint,
            classes=data.num_classes,
            training_images=len(data.train),
            test_images=len(data.test) if data.validation is None else 0,
            validation_images=len(data.validation) if data.validation is not None else 0,
            notes=tuple(filter(None, dict.fromkeys((*data.notes, *seen)))),
        ),
        teachers=tuple(
            TeacherRecord(name=each.called, seed=seed, **each.facts(), fingerprint=each.fingerprint)
            for seed, teachers in enumerate(comparison.teachers)
            for each in teachers
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
        rows=tuple(
            _as_made(row_record(experiment, comparison.problem, host, own), comparison.saved) for own in rows.values()
        ),
        scores=tuple(measurement.score for measurement in measurements),
        differences=(),
        pilot=experiment.pilot,
        environment=Environment(**machine(experiment), notes=host.store.differences.told()),
        plugins=tuple(
            PluginRecord.model_validate(each) for each in (*host.registry.plugins, *host.registry.files.plugins)
        ),
    )
    more = derived(experiment, results, host) if whole else ()
    teachers = {score.set: score.teacher for score in results.scores}
    more = tuple(
        score.model_copy(update={"split": data.split, "teacher": teachers.get(score.set, 0)}) for score in more
    )
    for score in more:
        host.observer.scored(score, None)
    results = results.model_copy(update={"scores": results.scores + more})
    return results.model_copy(update={"differences": compare(results)})


def _as_made(row: RowRecord, saved: Saved | None) -> RowRecord:
    """The row with what its sets took, as the run says that made them: an evaluation's recipe has schedules before a budget."""
    found = saved.results.rows if isinstance(saved, SavedSets) and saved.results else ()
    made = next((each for each in found if each.label == row.label), None)
    if made is None:
        return row
    cost = row.cost.model_copy(update={"image_iterations": made.cost.image_iterations})
    share = {"of": made.of, "share_of_iterations": made.share_of_iterations}
    return row.model_copy(update={"matched": made.matched, "cost": cost, **share})


def _regime(column: Column) -> RegimeRecord:
    protocol = column.protocol.component
    return RegimeRecord(
        name=column.name,
        relabeler=column.relabeler.table(),
        protocol=ProtocolRecord(title=column.protocol_title, report=protocol.report, fingerprint=protocol.fingerprint),
    )


def save_grid(images: ImageReader, num_classes: int, path: Path) -> None:
    """A PNG of `grid`. OSError where it cannot be written."""
    drawn = io.BytesIO()
    grid(images, num_classes).save(drawn, "PNG")
    files.write(path, drawn.getvalue())


def grid(images: ImageReader, num_classes: int) -> Image:
    """A picture with one line of images for each class, in the order in which they joined the optimisation."""
    own = [(images.targets == label).nonzero().flatten() for label in range(min(num_classes, GRID_CLASSES))]
    along = min(GRID_IMAGES, *map(len, own))
    pixels = images.read(torch.cat([places[:along] for places in own]))
    factor = max(1, 64 // pixels.shape[-1])
    enlarged = pixels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    drawn = make_grid(enlarged, nrow=along, padding=2 * factor, pad_value=255)
    return to_pil_image(drawn)


def machine(experiment: Experiment) -> dict[str, Any]:
    """Where and with what the run was made."""
    packages = ("delt-host", "torch", "torchvision", "timm")
    device = experiment.device
    return {
        "device": device_name(device) or platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "precision": experiment.precision,
        "compiled": experiment.compile,
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {name: version(name) for name in packages},
    }
