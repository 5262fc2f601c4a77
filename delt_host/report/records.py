"""What the page reads from a run's results.json: checked, and forgiving of what older versions did not write."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from delt_host.options import build
from delt_host.report.finished import read_results


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Spread(_Read):
    mean: FiniteFloat | None = None
    std: FiniteFloat | None = None
    n: int = 0


class Said(_Read):
    """A difference to another row, as a sentence."""

    other: str
    n: int
    sentence: str = ""


class Line(_Read):
    """A row under one evaluator."""

    label: str
    role: str = ""
    matched: str = ""
    components: dict[str, dict[str, Any]] = Field(default_factory=dict)
    evaluator: str = ""
    score: str = ""
    better: str = "higher"
    unit: str = "%"
    scores: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    summary: Spread = Spread()
    best: Spread | None = None
    differences: tuple[Said, ...] = ()
    steps: int = 0
    image_iterations: int = 0
    recover_seconds: FiniteFloat | None = None
    train_seconds: FiniteFloat | None = None
    image_bytes: int = 0
    label_bytes: int = 0
    labels: str = ""
    failures: tuple[str, ...] = ()
    provenance: str = ""

    @property
    def values(self) -> list[float]:
        """Each seed's score."""
        return [value for value in self.scores.values() if value is not None]


class StudentCurve(_Read):
    """How a student learned; evaluators of others may keep something else under this name."""

    epoch: list[FiniteFloat]
    loss: list[FiniteFloat]
    tested_epoch: list[FiniteFloat]
    accuracy: list[FiniteFloat]

    @property
    def whole(self) -> bool:
        """Whether every epoch has its value."""
        return len(self.epoch) == len(self.loss) and len(self.tested_epoch) == len(self.accuracy)


class Measured(_Read):
    """A row under one seed and evaluator."""

    label: str
    seed: int
    evaluator: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)

    @cached_property
    def per_class(self) -> dict[str, float]:
        """Top-1 in percent of each class; empty where the evaluator says none."""
        found = self.facts.get("per_class")
        items = found.items() if isinstance(found, dict) else ()
        return {str(name): float(value) for name, value in items if isinstance(value, int | float)}

    @cached_property
    def curve(self) -> StudentCurve | None:
        try:
            return StudentCurve.model_validate(self.facts.get("curve"))
        except ValidationError:
            return None


class Results(_Read):
    experiment: dict[str, Any] = Field(default_factory=dict)
    dataset: dict[str, Any] = Field(default_factory=dict)
    teachers: tuple[dict[str, Any], ...] = ()
    protocol: dict[str, Any] = Field(default_factory=dict)
    lines: tuple[Line, ...]
    measurements: tuple[Measured, ...] = ()
    machine: dict[str, Any] = Field(default_factory=dict)
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of one run under one evaluator, with the measurements of its seeds."""

    run: Run
    line: Line
    measured: tuple[Measured, ...]

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same row under every evaluator."""
        return str(self.run.home), self.line.label


@dataclass(frozen=True)
class Run:
    """The folder of a finished run, or of an evaluation of its sets."""

    path: Path
    results: Results

    @classmethod
    def read(cls, path: Path) -> Run:
        """InputError where it is no finished run's folder, or its results.json is not what a run writes."""
        return cls(path, build(Results, read_results(path), str(path / "results.json")))

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def home(self) -> Path:
        """Where the distilled sets are: an evaluation's are in the folder of the run that it evaluates."""
        path = self.path.resolve()
        return path.parent.parent if path.parent.name == "evaluations" else path

    @property
    def about(self) -> str:
        """What was compared on what, in a line."""
        results = self.results
        experiment, teachers = results.experiment, results.teachers
        seeds = experiment.get("seeds", [])
        parts = [
            str(results.dataset.get("name", "")),
            f"IPC {experiment['ipc']}" if "ipc" in experiment else "",
            f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}" if seeds else "",
            f"protocol {results.protocol['title']}" if "title" in results.protocol else "",
            *(_teacher(each) for each in teachers),
        ]
        return " · ".join(part for part in parts if part)

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """With what and on what it was made."""
        results, machine = self.results, self.results.machine
        protocol = results.protocol
        notes = results.dataset.get("notes") or ()
        found = [
            ("dataset", f"{results.dataset.get('name', '')} [{_short(results.dataset)}]"),
            *(("note", str(note)) for note in notes),
            *(
                ("teacher", f"{_teacher(each).removeprefix('teacher ')} [{str(each.get('fingerprint', ''))[:12]}]")
                for each in results.teachers
            ),
            ("protocol", f"{protocol.get('title', '')} [{protocol.get('fingerprint', '')}]"),
            (
                "device",
                f"{machine.get('device', '')}, {machine.get('threads', '')} threads, {machine.get('precision', '')}",
            ),
            ("system", str(machine.get("system", ""))),
            ("python", str(machine.get("python", ""))),
            *((name, str(number)) for name, number in dict(machine.get("versions") or {}).items()),
            *(("plugins", f"{provider}: {', '.join(names)}") for provider, names in self._plugins().items()),
        ]
        return [(name, value) for name, value in found if value.strip(" [],")]

    def _plugins(self) -> dict[str, list[str]]:
        """Their names by the distribution that brought them; results.json has `name: distribution version (module)`."""
        found: dict[str, list[str]] = {}
        for plugin in self.results.plugins:
            name, _, provider = plugin.partition(": ")
            found.setdefault(provider.partition(" (")[0], []).append(name)
        return found

    def tables(self) -> list[list[Row]]:
        """The rows of each evaluator, in the order of the file: a label that comes again opens the next evaluator's."""
        evaluators = self.results.experiment.get("evaluator", [])
        tables: list[list[Row]] = [[]]
        for line in self.results.lines:
            if any(row.line.label == line.label for row in tables[-1]):
                tables.append([])
            place = len(tables) - 1
            own = tuple(
                m
                for m in self.results.measurements
                if m.label == line.label and (place >= len(evaluators) or m.evaluator == evaluators[place])
            )
            tables[-1].append(Row(self, line, own))
        return [table for table in tables if table]


def _teacher(facts: dict[str, Any]) -> str:
    accuracy = facts.get("accuracy")
    measured = f", top-1 {accuracy:.1f} %" if isinstance(accuracy, int | float) else ""
    return f"teacher {facts.get('architecture', '')}{measured}"


def _short(facts: dict[str, Any]) -> str:
    return str(facts.get("fingerprint", ""))[:12]
