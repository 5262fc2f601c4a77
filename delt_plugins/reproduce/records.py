"""Finished cells, one small JSON file each: what was measured for which seed, on which machine, by which command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from delt_host import InputError, RunError
from delt_host.workshop import Summary, build, files, held, slug
from delt_plugins.reproduce.cell import Trial, epochs, iterations
from delt_plugins.reproduce.table import Published, Value

FORMAT = 1


class SeedRecord(BaseModel):
    """One seed of a cell."""

    model_config = ConfigDict(extra="forbid")

    score: FiniteFloat
    """What the table shows."""
    scores: dict[str, float] = Field(default_factory=dict)
    """All that the evaluator found."""
    data: str = ""
    """The dataset's fingerprint."""
    teacher: dict[str, Any] = Field(default_factory=dict)
    """The first teacher's architecture, fingerprint and accuracy."""
    machine: dict[str, Any] = Field(default_factory=dict)
    """Device, precision, versions."""
    commit: str = ""
    """Of the host's source, where it lies in a git repository."""
    date: str = ""
    command: str = ""


class CellRecord(BaseModel):
    """A cell under one reading, scale and settings, with the seeds that are finished."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    table: str
    title: str = ""
    cell: dict[str, Value]
    reading: str
    scale: str
    score: str
    unit: str = ""
    per: str | None = None
    regime: str = ""
    """What students were told: its name, with the protocol's settings."""
    iterations: int = 0
    epochs: int = 0
    share: dict[str, float] = Field(default_factory=dict)
    """Of the published iterations and epochs; 1 is all."""
    changed: list[str] = Field(default_factory=list)
    """What was asked for in place of what the table says, in words."""
    published: Published | None = None
    settings: dict[str, Any]
    digest: str = Field(pattern=r"^[0-9a-f]{8}$")
    seeds: dict[int, SeedRecord] = Field(default_factory=dict)
    provenance: str = "measured"

    @property
    def path(self) -> Path:
        """Where it lies in a folder of results."""
        place = "_".join(slug(str(value)) for value in self.cell.values())
        return Path(slug(self.table)) / f"{place}_{slug(self.reading)}_{slug(self.scale)}_{self.digest}.json"

    @property
    def name(self) -> str:
        return f"{self.table}, {', '.join(map(str, self.cell.values()))}, {self.reading}, {self.scale}"

    @property
    def summary(self) -> Summary:
        return Summary.of([self.seeds[seed].score for seed in sorted(self.seeds)])


def record_of(trial: Trial, title: str) -> CellRecord:
    """The cell's record without a seed."""
    column = trial.experiment.regimes[0]
    return CellRecord(
        table=trial.table,
        title=title,
        cell=trial.cell.place,
        reading=trial.reading,
        scale=trial.scale,
        score=trial.score,
        unit=trial.unit,
        per=trial.cell.setting.per,
        regime=f"{column.name}: labels {column.relabeler.name}, protocol {column.protocol_title}",
        iterations=iterations(trial.experiment),
        epochs=epochs(trial.experiment),
        share={"iterations": trial.share.iterations, "epochs": trial.share.epochs},
        changed=list(trial.changed),
        published=trial.cell.published,
        settings=trial.settings,
        digest=trial.digest,
    )


def read(path: Path) -> CellRecord:
    """One cell's file; InputError where it is no such thing."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the result {path} cannot be read: {error}") from None
    record = build(CellRecord, table, f"the result {path}")
    if record.format != FORMAT:
        raise InputError(f"the result {path} has format {record.format}; this version reads {FORMAT}")
    return record


@dataclass(frozen=True)
class CellFolder:
    """A folder of finished cells, one folder a table."""

    root: Path

    def records(self) -> list[CellRecord]:
        """Every cell in it, by path; InputError for a folder that is not there."""
        if not self.root.is_dir():
            raise InputError(f"there is no folder of results at {self.root}; `delt-host reproduce` makes one")
        return [read(path) for path in sorted(self.root.glob("*/*.json"), key=by_number)]

    def find(self, record: CellRecord) -> CellRecord:
        """What is there of the same cell and settings, with its published figure of today; `record` if nothing is."""
        path = self.root / record.path
        return read(path).model_copy(update={"published": record.published}) if path.is_file() else record

    def add(self, record: CellRecord, seed: int, measured: SeedRecord) -> CellRecord:
        """Keep one more seed, beside those that other processes have added meanwhile."""
        path = self.root / record.path
        try:
            files.make_folders(path.parent)
            with held(self.root / ".lock", like=self.root, waiting=lambda: None):
                now = self.find(record)
                now = now.model_copy(update={"seeds": {**now.seeds, seed: measured}})
                self.write(now)
        except OSError as error:
            raise RunError(f"the result {path} cannot be written: {error.strerror or error}") from None
        return now

    def write(self, record: CellRecord) -> None:
        """Write the cell's file as a whole or not at all. OSError where that fails."""
        files.write(self.root / record.path, json.dumps(record.model_dump(mode="json"), indent=1))


@dataclass(frozen=True)
class Conflict:
    """One seed of one cell that two folders have different values for."""

    cell: str
    seed: int
    values: dict[str, float]
    """By folder."""

    def __str__(self) -> str:
        told = ", ".join(f"{value:.4g} in {folder}" for folder, value in self.values.items())
        return f"{self.cell}, seed {self.seed}: {told}"


def merge(folders: Sequence[CellFolder], prefer: Path | None = None) -> tuple[list[CellRecord], list[Conflict]]:
    """The cells of all folders with the seeds of all, and the seeds of which they have different values.

    Of two values for a seed that of `prefer` is taken, and is no conflict; without it none of them is.
    """
    merged: dict[Path, CellRecord] = {}
    values: dict[Path, dict[int, dict[str, SeedRecord]]] = {}
    for folder in folders:
        for record in folder.records():
            merged.setdefault(record.path, record)
            for seed, measured in record.seeds.items():
                values.setdefault(record.path, {}).setdefault(seed, {})[str(folder.root)] = measured
    conflicts = []
    for path, record in merged.items():
        seeds = {}
        for seed, found in sorted(values.get(path, {}).items()):
            if prefer is not None and str(prefer) in found:
                seeds[seed] = found[str(prefer)]
            elif len({measured.score for measured in found.values()}) == 1:
                seeds[seed] = next(iter(found.values()))
            else:
                scores = {folder: measured.score for folder, measured in found.items()}
                conflicts.append(Conflict(record.name, seed, scores))
        merged[path] = record.model_copy(update={"seeds": seeds})
    return [merged[path] for path in sorted(merged, key=by_number)], conflicts


def by_number(path: Path) -> list[str | int]:
    """A key that sorts IPC 1, 10, 50 and 100 in this order."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


def mixed(record: CellRecord) -> Iterator[str]:
    """What of a record's seeds is not of one kind, as words: other data, other versions."""
    if len({measured.data for measured in record.seeds.values()}) > 1:
        yield "data of different fingerprints"
    versions = {json.dumps(measured.machine.get("versions", {}), sort_keys=True) for measured in record.seeds.values()}
    if len(versions) > 1:
        yield "different versions"
