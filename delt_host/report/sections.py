"""What each section of the page shows, from the records of its runs; empty where there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from markupsafe import Markup

from delt_host.distilled import load
from delt_host.errors import InputError
from delt_host.history import History, load_history
from delt_host.report import figures
from delt_host.report.figures import Mark, Trace
from delt_host.report.folder import slug
from delt_host.report.images import Strip, strips
from delt_host.report.records import Row, Run, Spread
from delt_host.report.settings import differing
from delt_host.units import decimals

CLASSES_SHOWN = 20  # of a figure by class: the ten most ahead and the ten most behind


@dataclass(frozen=True)
class Entry:
    """A row in a table of the page."""

    row: Row
    label: str
    number: int
    """Its colour and marker, the same in all figures."""

    @property
    def score(self) -> str:
        """`64.5 ± 1.6`, without a spread where there is one seed."""
        return self._spread(self.row.line.summary)

    @property
    def best(self) -> str:
        """That of the best tested epoch."""
        return self._spread(self.row.line.best or Spread())

    def _spread(self, summary: Spread) -> str:
        digits = decimals(self.row.line.unit)
        if summary.mean is None:
            return "failed" if self.row.line.failures else "–"
        return f"{summary.mean:.{digits}f}" + ("" if summary.std is None else f" ± {summary.std:.{digits}f}")

    def mark(self, at: float = 0.0) -> Mark:
        values, unit = self.row.line.values, self.row.line.unit
        return Mark(self.label, self.number, values, f"{self.score} {unit}".strip() if values else self.score, at)


@dataclass(frozen=True)
class Table:
    """All rows under one evaluator."""

    title: str
    entries: list[Entry]

    @property
    def heading(self) -> str:
        """What its scores are, with their unit."""
        line = self.entries[0].row.line
        name = "top-1" if line.score == "top1" else line.score
        return f"{name} ({line.unit})" if line.unit else name

    @property
    def percent(self) -> bool:
        return self.entries[0].row.line.unit == "%"

    @property
    def trains(self) -> bool:
        """Whether its rows train students, so that costs and labels mean something."""
        return any(entry.row.line.steps for entry in self.entries)

    @property
    def lower(self) -> bool:
        """Whether lower scores are better."""
        return self.entries[0].row.line.better == "lower"

    @property
    def with_best(self) -> bool:
        """Whether some epoch was better than the one that is reported."""
        lines = [entry.row.line for entry in self.entries]
        return any(line.best is not None and line.best.mean != line.summary.mean for line in lines)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What can be told from the scores: each row that is compared with others, and a sentence for each of these."""
        return [(entry.label, each.sentence) for entry in self.entries for each in entry.row.line.differences if each.n]

    @property
    def failed(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.row.line.failures]

    @property
    def scored(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.row.line.values]


def tables(runs: Sequence[Run]) -> list[Table]:
    """The rows of all runs by evaluator, each row with its number; where names clash, with its run's."""
    numbers: dict[tuple[str, str], int] = {}
    rows: dict[str, list[Row]] = {}
    for run in runs:
        for table in run.tables():
            for row in table:
                numbers.setdefault(row.key, len(numbers))
                rows.setdefault(row.line.evaluator, []).append(row)
    several = len({run.home for run in runs}) > 1
    found = []
    for title, own in rows.items():
        labels = [f"{row.line.label} · {row.run.home.name}" if several else row.line.label for row in own]
        often = Counter(labels)
        for place, row in enumerate(own):
            if often[labels[place]] > 1:
                labels[place] = f"{row.line.label} · {row.run.path}"
        entries = [Entry(row, label, numbers[row.key]) for row, label in zip(own, labels, strict=True)]
        found.append(Table(title, entries))
    return found


def over_cost(table: Table, cost: Callable[[Row], int], x_label: str) -> Markup | None:
    """Scores over a cost, where it differs between rows."""
    marks = [entry.mark(cost(entry.row)) for entry in table.scored if entry.row.line.role != "ceiling"]
    if len({mark.at for mark in marks}) < 2:
        return None
    return figures.scatter(marks, x_label, table.heading, table.percent)


def by_class(table: Table) -> list[tuple[str, Markup, list[tuple[str, float]]]]:
    """Each method against each baseline (or control, where there is none): title, figure, and differences by class."""
    found = []
    for method in (entry for entry in table.entries if entry.row.line.role == "method"):
        same_run = [entry for entry in table.entries if entry.row.run == method.row.run]
        others = [entry for entry in same_run if entry.row.line.role == "baseline"]
        for other in others or [entry for entry in same_run if entry.row.line.role == "control"]:
            differences = sorted(_class_differences(method.row, other.row), key=lambda each: -fmean(each[1]))
            if differences:
                half = CLASSES_SHOWN // 2
                few = differences if len(differences) <= CLASSES_SHOWN else differences[:half] + differences[-half:]
                title = f"{method.label} minus {other.label}"
                means = [(name, fmean(values)) for name, values in differences]
                found.append((title, figures.differences(few, (method.number, other.number), title), means))
    return found


def _class_differences(row: Row, other: Row) -> list[tuple[str, list[float]]]:
    theirs = {measured.seed: measured.per_class for measured in other.measured}
    pairs = [(measured.per_class, theirs[measured.seed]) for measured in row.measured if measured.seed in theirs]
    names = pairs[0][0] if pairs else {}
    values = {name: [mine[name] - its[name] for mine, its in pairs if name in mine and name in its] for name in names}
    return [(name, each) for name, each in values.items() if each]


def learning(table: Table) -> list[Markup]:
    """The students' loss by epoch, and their accuracy where epochs were tested."""
    losses: list[Trace] = []
    accuracies: list[Trace] = []
    for entry in table.entries:
        for curve in (measured.curve for measured in entry.row.measured):
            if curve is not None and curve.epoch and curve.whole:
                losses.append(Trace(entry.number, curve.epoch, curve.loss))
                accuracies.append(Trace(entry.number, curve.tested_epoch, curve.accuracy))
    if not losses:
        return []
    says = f"{table.title} by epoch, the mean of each row: "
    found = [figures.lines(losses, "epoch", "training loss", says + "training loss", log=True)]
    if any(len(trace.x) > 1 for trace in accuracies):
        found.append(figures.lines(accuracies, "epoch", "test top-1 (%)", says + "top-1 on the test split"))
    return found


@dataclass(frozen=True)
class Made:
    """The sets of one row, and how they came to be."""

    entry: Entry
    seed: int
    """The one whose images are shown."""
    strips: dict[str, Strip]
    histories: list[History]
    classes: int = 0
    per_class: int = 0
    """Images of each class; the strips hold some of them."""


def made(table: Table, problems: list[str]) -> list[Made]:
    """Each row's images and histories; what cannot be read is said in `problems`."""
    found, seen = [], set()
    for entry in table.entries:
        if entry.row.key in seen:
            continue
        seen.add(entry.row.key)
        folder = entry.row.run.home / slug(entry.row.line.label)
        seeds = [measured.seed for measured in entry.row.measured] or [int(seed) for seed in entry.row.line.scores]
        histories = {}
        shown: Made | None = None
        for seed in dict.fromkeys(seeds):
            place = folder / f"seed-{seed}"
            try:
                if (place / "history.safetensors").is_file():
                    histories[seed] = load_history(place / "history.safetensors")
                if shown is None and (place / "distilled.safetensors").is_file():
                    loaded, history = load(place / "distilled.safetensors"), histories.get(seed)
                    if history is not None and len(history.iterations) != len(loaded.targets):
                        raise InputError(f"{place} holds a set and the history of another")
                    own = strips(entry.label, entry.number, loaded, history)
                    classes = len(loaded.class_names)
                    shown = Made(entry, seed, own, [], classes, len(loaded.targets) // classes)
            except InputError as error:
                problems.append(str(error))
        if shown is not None or histories:
            found.append(replace(shown or Made(entry, 0, {}, []), histories=list(histories.values())))
    return found


def recovery(sets: Sequence[Made]) -> list[tuple[str, Markup]]:
    """A figure for every loss term: how it fell in every row and seed, averaged over groups."""
    terms: dict[str, list[Trace]] = {}
    for each in sets:
        for curve in (curve for history in each.histories for curve in history.curves):
            for name, values in curve.terms.items():
                terms.setdefault(name, []).append(Trace(each.entry.number, curve.iteration, values))
    says = "by iteration, the mean of each row"
    return [
        (name, figures.lines(traces, "iteration", name, f"Loss term {name} {says}", log=True))
        for name, traces in terms.items()
    ]


def settings(table: Table) -> tuple[list[Entry], dict[str, list[str]]]:
    """The rows with components, and the options that differ between them."""
    entries = [entry for entry in table.entries if entry.row.line.components]
    return entries, differing([entry.row.line.components for entry in entries])


def runs_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The options that differ between runs, rows and evaluators aside."""
    shared: list[dict[str, Any]] = []
    for run in runs:
        own = {name: value for name, value in run.results.experiment.items() if name not in ("row", "evaluator")}
        teachers = own.get("teacher")
        if isinstance(teachers, list):
            own["teacher"] = {str(place): teacher for place, teacher in enumerate(teachers)}
        shared.append(own)
    return differing(shared)
