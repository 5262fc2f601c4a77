"""Finished cells, one small JSON file each: what was measured for which seed, on which machine, by which command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from delt_host import files
from delt_host.errors import InputError, RunError
from delt_host.folder_names import slug
from delt_host.lines import Summary
from delt_host.options import build
from delt_host.reproduce.cell import Job, epochs, iterations
from delt_host.reproduce.table import Published, Value

FORMAT = 1


class Measured(BaseModel):
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


class Cited(BaseModel):
    """A published figure."""

    model_config = ConfigDict(extra="forbid")

    mean: float
    std: float | None = None
    source: str = ""
    provenance: str = "cited"


class Record(BaseModel):
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
    published: Cited | None = None
    settings: dict[str, Any]
    digest: str = Field(pattern=r"^[0-9a-f]{8}$")
    seeds: dict[int, Measured] = Field(default_factory=dict)
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

    @property
    def cited(self) -> Published | None:
        if self.published is None:
            return None
        std = float("nan") if self.published.std is None else self.published.std
        return Published(self.published.mean, std, self.published.source)


def record_of(job: Job, title: str) -> Record:
    """The cell's record without a seed."""
    figure, column = job.cell.published, job.experiment.regimes[0]
    known = figure is not None and figure.std == figure.std  # NaN: its spread is not at hand
    return Record(
        table=job.table,
        title=title,
        cell=job.cell.place,
        reading=job.reading,
        scale=job.scale,
        score=job.score,
        unit=job.unit,
        per=job.cell.setting.per,
        regime=f"{column.name}: labels {column.relabeler.name}, protocol {column.protocol_title}",
        iterations=iterations(job.experiment),
        epochs=epochs(job.experiment),
        share={"iterations": job.share.iterations, "epochs": job.share.epochs},
        changed=list(job.changed),
        published=Cited(mean=figure.mean, std=figure.std if known else None, source=figure.source) if figure else None,
        settings=job.settings,
        digest=job.digest,
    )


def read(path: Path) -> Record:
    """One cell's file; InputError where it is no such thing."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"the result {path} cannot be read: {error}") from None
    record = build(Record, table, f"the result {path}")
    if record.format != FORMAT:
        raise InputError(f"the result {path} has format {record.format}; this version reads {FORMAT}")
    return record


@dataclass(frozen=True)
class Folder:
    """A folder of finished cells, one folder a table."""

    root: Path

    def records(self) -> list[Record]:
        """Every cell in it, by path; InputError for a folder that is not there."""
        if not self.root.is_dir():
            raise InputError(f"there is no folder of results at {self.root}; `delt-host reproduce` makes one")
        return [read(path) for path in sorted(self.root.glob("*/*.json"), key=by_number)]

    def find(self, record: Record) -> Record:
        """What is there of the same cell and settings, with its published figure of today; `record` if nothing is."""
        path = self.root / record.path
        return read(path).model_copy(update={"published": record.published}) if path.is_file() else record

    def add(self, record: Record, seed: int, measured: Measured) -> Record:
        """Keep one more seed, beside those that other processes have added meanwhile."""
        path = self.root / record.path
        try:
            files.make_folders(path.parent)
            with FileLock(self.root / ".lock"):
                now = self.find(record)
                now = now.model_copy(update={"seeds": {**now.seeds, seed: measured}})
                self.write(now)
        except OSError as error:
            raise RunError(f"the result {path} cannot be written: {error.strerror or error}") from None
        return now

    def write(self, record: Record) -> None:
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


def merge(folders: Sequence[Folder], prefer: Path | None = None) -> tuple[list[Record], list[Conflict]]:
    """The cells of all folders with the seeds of all, and the seeds of which they have different values.

    Of two values for a seed that of `prefer` is taken, and is no conflict; without it none of them is.
    """
    merged: dict[Path, Record] = {}
    values: dict[Path, dict[int, dict[str, Measured]]] = {}
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


def mixed(record: Record) -> Iterator[str]:
    """What of a record's seeds is not of one kind, as words: other data, other versions."""
    if len({measured.data for measured in record.seeds.values()}) > 1:
        yield "data of different fingerprints"
    versions = {json.dumps(measured.machine.get("versions", {}), sort_keys=True) for measured in record.seeds.values()}
    if len(versions) > 1:
        yield "different versions"
