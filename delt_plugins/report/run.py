"""The runs that the page shows, and what of their facts it draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from delt_host import Form, InputError, Results, Score
from delt_host.workshop import (
    RESULTS_FILE,
    Line,
    Point,
    RegimeRecord,
    SavedSets,
    TeacherRecord,
    answers,
    lines_over,
    load_registry,
    read_results,
    read_sweep,
    short_name,
    spans,
)


class StudentCurve(BaseModel):
    """How a student learned; evaluators of others may keep something else under this name."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    epoch: list[FiniteFloat]
    loss: list[FiniteFloat]
    tested_epoch: list[FiniteFloat]
    accuracy: list[FiniteFloat]

    @classmethod
    def of(cls, score: Score) -> StudentCurve | None:
        """None where there is none of which every epoch has its value."""
        try:
            curve = cls.model_validate(score.facts.get("curve"))
        except ValidationError:
            return None
        whole = len(curve.epoch) == len(curve.loss) and len(curve.tested_epoch) == len(curve.accuracy)
        return curve if curve.epoch and whole else None


def per_class(score: Score) -> dict[str, float]:
    """Top-1 in percent of each class; empty where the evaluator says none."""
    found = score.facts.get("per_class")
    items = found.items() if isinstance(found, dict) else ()
    return {str(name): float(value) for name, value in items if isinstance(value, int | float)}


def each_run(places: Iterable[Path]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """These folders of runs, with what each varies; of a sweep's folder all that are finished. InputError where none is."""
    for place in places:
        if (sweep := read_sweep(place)) is None:
            yield place, {}
            continue
        found = [point for point in sweep.points if (place / point.folder / RESULTS_FILE).is_file()]
        if not found:
            raise InputError(f"{place} is the folder of a sweep of which no run is finished")
        yield from ((place / point.folder, point.varied) for point in found)


@dataclass(frozen=True)
class Run:
    """The folder of a finished run, or of an evaluation of its sets."""

    path: Path
    results: Results
    point: Mapping[str, Any] = field(default_factory=dict)
    """What it varies, of a sweep's."""

    @classmethod
    def read(cls, path: Path, point: Mapping[str, Any] | None = None) -> Run:
        """InputError where it is no finished run's folder, or its results.json is not what a run writes."""
        return cls(path, read_results(path), point or {})

    @cached_property
    def lines(self) -> list[Line]:
        return lines_over([Point(self.point, self.results)])

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def home(self) -> Path:
        """Where the distilled sets are: an evaluation's are in the folder of the run that it evaluates."""
        path = self.path.resolve()
        return path.parent.parent if path.parent.name == "evaluations" else path

    @cached_property
    def sets(self) -> SavedSets:
        """The distilled sets that these results are of, in forms of the plugins that the run had."""
        return SavedSets(self.home, self._form, self.results)

    def _form(self, name: str) -> type[Form]:
        recipe = self.results.recipe
        found: type[Form] = load_registry(recipe.get("plugins", ()), recipe.get("prefer", ())).get("form", name)
        return found

    @property
    def answers(self) -> list[str]:
        """What its table answers."""
        return answers(self.results)

    @property
    def about(self) -> str:
        """What was compared on what, in a line."""
        results = self.results
        seeds = dict.fromkeys(score.set for score in results.scores)
        parts = [
            results.data.name,
            results.scored_on,
            f"IPC {results.recipe['ipc']}" if "ipc" in results.recipe else "",
            f"seed{'s' * (len(seeds) > 1)} {spans(seeds)}" if seeds else "",
            *(f"{regime.name}: {_told(regime)}" for regime in results.regimes),
            *(f"teacher {_teacher(each, results)}" for each in results.teachers),
        ]
        return " · ".join(part for part in parts if part)

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """With what and on what it was made."""
        results, environment = self.results, self.results.environment
        return [
            ("dataset", f"{results.data.name} [{results.data.fingerprint[:12]}]"),
            *(("note", note) for note in (*results.data.notes, *environment.notes)),
            *(("teacher", f"{_teacher(each, results)} [{each.fingerprint[:12]}]") for each in results.teachers),
            *((f"regime {r.name}", f"{_told(r)} [{r.protocol.fingerprint}]") for r in results.regimes),
            ("device", f"{environment.device}, {environment.threads} threads, {environment.precision}"),
            ("system", environment.system),
            ("python", environment.python),
            *environment.versions.items(),
            *(("plugins", f"{provider}: {', '.join(names)}") for provider, names in self._plugins().items()),
        ]

    def _plugins(self) -> dict[str, list[str]]:
        """Their names by the distribution that brought them."""
        found: dict[str, list[str]] = {}
        for plugin in self.results.plugins:
            whose = f"{plugin.path} [{plugin.code}]" if plugin.path else f"{plugin.distribution} {plugin.version}"
            found.setdefault(whose, []).append(plugin.name)
        return found


def _told(regime: RegimeRecord) -> str:
    return f"labels {short_name(regime.relabeler.get('name', ''))}, protocol {regime.protocol.title}"


def _teacher(record: TeacherRecord, results: Results) -> str:
    named = record.name if record.name == record.architecture else f"{record.name} ({record.architecture})"
    seed = f", seed {record.seed}" if any(each.seed for each in results.teachers) else ""
    return short_name(named) + seed + ("" if record.accuracy is None else f", top-1 {record.accuracy:.1f} %")
