"""Run what is missing of a table through the host's own pipeline, and keep every seed as soon as it is finished."""

from __future__ import annotations

import dataclasses
import datetime
import math
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delt_host import Engine, InputError, Problem, RealData, RunError
from delt_host.workshop import Host, Measurement, machine, story
from delt_plugins.reproduce.cell import Trial
from delt_plugins.reproduce.records import CellFolder, CellRecord, SeedRecord, record_of


@dataclass
class Shelf:
    """Datasets that a command has loaded, so that each is read once, and those that could not be."""

    host: Host
    loaded: dict[str, RealData | InputError] = field(default_factory=dict)

    def take(self, trial: Trial) -> RealData:
        """The cell's dataset; InputError where it is not here."""
        experiment, wanted = trial.experiment, trial.cell.setting.dataset
        key = experiment.dataset.component.model_dump_json() + experiment.dataset.name
        if key not in self.loaded:
            try:
                self.loaded[key] = story.load_data(experiment.dataset, self.host)
            except InputError as error:
                self.loaded[key] = InputError(
                    f"no {wanted}: {error} (for this command: --dataset {wanted}=folder:PATH)"
                )
        found = self.loaded[key]
        if isinstance(found, InputError):
            raise found
        return found


@dataclass
class Outcome:
    """What came of a table's cells."""

    records: list[CellRecord] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)
    """Why data or teachers are missing, in words, and how many cells miss them."""
    failed: list[str] = field(default_factory=list)


def measure(
    trials: Sequence[Trial], folder: CellFolder, host: Host, title: str, command: str, engine: Engine
) -> Outcome:
    """Run the seeds that the folder has not yet, what the engine can by it; cells whose data are missing or that fail do not
    stop the others."""
    outcome, shelf = Outcome(), Shelf(host)
    for number, trial in enumerate(trials, 1):
        record = folder.find(record_of(trial, title))
        left = tuple(seed for seed in trial.experiment.seeds if seed not in record.seeds)
        host.observer.note(
            f"cell {number} of {len(trials)}: {record.name}: "
            + (f"seeds {', '.join(map(str, left))}" if left else f"finished, in {folder.root / record.path}")
        )
        try:
            if left:
                record = _run(trial, record, left, folder, host, shelf, command, engine)
        except InputError as error:
            outcome.missing[str(error)] = outcome.missing.get(str(error), 0) + 1
        except RunError as error:
            outcome.failed.append(f"{record.name}: {error}")
        outcome.records.append(folder.find(record))
    return outcome


def _run(
    trial: Trial,
    record: CellRecord,
    seeds: tuple[int, ...],
    folder: CellFolder,
    host: Host,
    shelf: Shelf,
    command: str,
    engine: Engine,
) -> CellRecord:
    data = shelf.take(trial)
    if record.seeds and data.fingerprint not in {measured.data for measured in record.seeds.values()}:
        raise InputError(
            f"{folder.root / record.path} has seeds measured on other data than {data.name} here "
            f"(fingerprint {data.fingerprint[:12]}); keep these in another folder with --out"
        )
    experiment = dataclasses.replace(trial.experiment, seeds=seeds)
    comparison = story.prepare_run(experiment, host, data=data)
    experiment, problem = comparison.experiment, comparison.problem
    about = {
        "data": data.fingerprint,
        "teacher": _teacher(problem),
        "machine": machine(experiment),
        "commit": source_commit(),
        "command": command,
    }
    engine.fill(comparison, experiment.threads)
    found: list[Measurement] = []
    for measurement in story.run(comparison):
        if measurement.failure:
            raise RunError(measurement.failure)
        found.append(measurement)
        if len(found) == len(experiment.rows):  # all rows of one seed
            record = folder.add(record, measurement.seed, _measured(trial, found, about))
            found = []
    return record


def _measured(trial: Trial, found: Sequence[Measurement], about: dict[str, Any]) -> SeedRecord:
    """The cell's score of one seed: that of its row, or its ratio to that of the row it is measured against."""
    all_scores = [measurement.evaluation.scores if measurement.evaluation else {} for measurement in found]
    for scores in all_scores:
        if trial.score not in scores:
            evaluator = trial.experiment.evaluators[0].name
            raise InputError(
                f"evaluator {evaluator} gives no score {trial.score!r} (gave: {', '.join(sorted(scores))})"
            )
    values = [scores[trial.score] for scores in all_scores]
    if len(values) > 1 and values[1] == 0:
        raise RunError(f"{trial.cell.setting.per} has a {trial.score} of 0, to which there is no ratio")
    score = values[0] / values[1] if len(values) > 1 else values[0]
    named = dict(all_scores[0])
    for measurement, scores in zip(found[1:], all_scores[1:], strict=True):
        named |= {f"{measurement.row.label}: {name}": value for name, value in scores.items()}
    finite = {name: value for name, value in named.items() if math.isfinite(value)}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return SeedRecord(score=score, scores=finite, date=now, **about)


def _teacher(problem: Problem) -> dict[str, Any]:
    if not problem.teachers:
        return {}
    teacher = problem.teacher
    return {
        "architecture": teacher.architecture,
        "fingerprint": teacher.fingerprint,
        "accuracy": round(teacher.accuracy, 3),
    }


def source_commit() -> str:
    """The commit of the host's source, where it runs from a git repository; empty elsewhere."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
