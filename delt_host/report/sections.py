"""What each section of the page shows, from the records of its runs; empty where there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from markupsafe import Markup

from delt_host.errors import InputError
from delt_host.history import History, load_history
from delt_host.lines import Line, Summary
from delt_host.report import figures
from delt_host.report.figures import Mark, Trace
from delt_host.report.images import Strip, strips
from delt_host.report.own_sets import own_set, recorded
from delt_host.report.place import HISTORY
from delt_host.report.records import Run, StudentCurve, per_class
from delt_host.report.settings import differing

CLASSES_SHOWN = 20  # of a figure by class: the ten most ahead and the ten most behind


@dataclass(frozen=True)
class Entry:
    """A row in a table of the page."""

    run: Run
    line: Line
    label: str
    number: int
    """Its colour and marker, the same in all figures."""

    @property
    def key(self) -> tuple[str, str]:
        """The same for the same row under every evaluator and regime."""
        return key(self.run, self.line)

    @property
    def score(self) -> str:
        """`64.5 ± 1.6`, without a spread where there is one seed."""
        return self._shown(self.line.summary)

    @property
    def best(self) -> str:
        """That of the best tested epoch."""
        return self._shown(self.line.best)

    def _shown(self, summary: Summary) -> str:
        return "failed" if not summary.n and self.line.failures else summary.shown(self.line.digits)

    def mark(self, at: float = 0.0) -> Mark:
        values, unit = list(self.line.headline.values()), self.line.evaluator.unit
        return Mark(self.label, self.number, values, f"{self.score} {unit}".strip() if values else self.score, at)


@dataclass(frozen=True)
class Table:
    """All rows under one evaluator and regime."""

    title: str
    """The evaluator's, with the regime where there are several."""
    entries: list[Entry]

    @property
    def heading(self) -> str:
        """What its scores are, with their unit."""
        evaluator = self.entries[0].line.evaluator
        name = "top-1" if evaluator.headline == "top1" else evaluator.headline
        return f"{name} ({evaluator.unit})" if evaluator.unit else name

    @property
    def percent(self) -> bool:
        return self.entries[0].line.evaluator.unit == "%"

    @property
    def trains(self) -> bool:
        """Whether its rows train students, so that costs and labels mean something."""
        return any(entry.line.steps for entry in self.entries)

    @property
    def lower(self) -> bool:
        """Whether lower scores are better."""
        return self.entries[0].line.evaluator.better == "lower"

    @property
    def with_best(self) -> bool:
        """Whether some epoch was better than the one that is reported."""
        lines = [entry.line for entry in self.entries]
        return any(line.best.n and line.best.mean != line.summary.mean for line in lines)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What can be told from the scores: each row that is compared with others, and a sentence for each of these."""
        return [(entry.label, each.sentence) for entry in self.entries for each in entry.line.differences]

    @property
    def evaluator(self) -> str:
        """Its title, the same under every regime."""
        return self.entries[0].line.evaluator.title

    @property
    def scored(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.line.headline]


def key(run: Run, line: Line) -> tuple[str, str]:
    """What is the same for the same row under every evaluator and regime."""
    return str(run.home), line.row.label


def tables(runs: Sequence[Run]) -> list[Table]:
    """The rows of all runs by evaluator and regime, each row with its number; where names clash, with its run's."""
    numbers: dict[tuple[str, str], int] = {}
    rows: dict[tuple[str, str], list[tuple[Run, Line]]] = {}
    columns = {line.column for run in runs for line in run.lines if line.column}
    for run in runs:
        for line in run.lines:
            numbers.setdefault(key(run, line), len(numbers))
            rows.setdefault((line.evaluator.title, line.column), []).append((run, line))
    several = len({run.home for run in runs}) > 1
    found = []
    for (title, column), own in rows.items():
        labels = [f"{line.row.label} · {run.home.name}" if several else line.row.label for run, line in own]
        often = Counter(labels)
        entries = []
        for (run, line), label in zip(own, labels, strict=True):
            label = label if often[label] == 1 else f"{line.row.label} · {run.path}"
            entries.append(Entry(run, line, label, numbers[key(run, line)]))
        found.append(Table(f"{title}, {column}" if column and len(columns) > 1 else title, entries))
    return found


def failed(tables: Sequence[Table]) -> dict[str, list[str]]:
    """Why rows failed, by their label, each reason once."""
    found: dict[str, dict[str, None]] = {}
    for entry in (entry for table in tables for entry in table.entries if entry.line.failures):
        found.setdefault(entry.label, {}).update(dict.fromkeys(entry.line.failures))
    return {label: list(reasons) for label, reasons in found.items()}


def over_cost(table: Table, cost: Callable[[Line], int], x_label: str) -> Markup | None:
    """Scores over a cost, where it differs between rows."""
    marks = [entry.mark(cost(entry.line)) for entry in table.scored if entry.line.row.role != "ceiling"]
    if len({mark.at for mark in marks}) < 2:
        return None
    return figures.scatter(marks, x_label, table.heading, table.percent)


def by_class(table: Table) -> list[tuple[str, Markup, list[tuple[str, float]]]]:
    """Each method against each baseline (or control, where there is none): title, figure, and differences by class."""
    found = []
    for method in (entry for entry in table.entries if entry.line.row.role == "method"):
        same_run = [entry for entry in table.entries if entry.run is method.run]
        others = [entry for entry in same_run if entry.line.row.role == "baseline"]
        for other in others or [entry for entry in same_run if entry.line.row.role == "control"]:
            differences = sorted(_class_differences(method.line, other.line), key=lambda each: -fmean(each[1]))
            if differences:
                half = CLASSES_SHOWN // 2
                few = differences if len(differences) <= CLASSES_SHOWN else differences[:half] + differences[-half:]
                title = f"{method.label} minus {other.label}"
                means = [(name, fmean(values)) for name, values in differences]
                found.append((title, figures.differences(few, (method.number, other.number), title), means))
    return found


def _class_differences(line: Line, other: Line) -> list[tuple[str, list[float]]]:
    theirs = {(score.set, score.student): per_class(score) for score in other.done}
    places = [(per_class(score), (score.set, score.student)) for score in line.done]
    pairs = [(mine, theirs[place]) for mine, place in places if place in theirs]
    names = pairs[0][0] if pairs else {}
    values = {name: [mine[name] - its[name] for mine, its in pairs if name in mine and name in its] for name in names}
    return [(name, each) for name, each in values.items() if each]


def learning(table: Table) -> list[Markup]:
    """The students' loss by epoch, and their accuracy where epochs were tested."""
    losses: list[Trace] = []
    accuracies: list[Trace] = []
    for entry in table.entries:
        for score in entry.line.done:
            if (curve := StudentCurve.of(score)) is not None:
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
        if entry.key in seen:
            continue
        seen.add(entry.key)
        histories = {}
        shown: Made | None = None
        for seed in dict.fromkeys(score.set for score in entry.line.scores):
            record = recorded(entry.run.results, entry.line.row.label, seed)
            if record is None:
                continue
            place = entry.run.home / record.folder
            try:
                loaded = own_set(entry.run.home, entry.run.results, entry.line.row.label, seed)
                if (place / HISTORY).is_file():
                    histories[seed] = load_history(place / HISTORY)
                if shown is None:
                    history = histories.get(seed)
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
    entries = [entry for entry in table.entries if entry.line.row.components]
    return entries, differing([entry.line.row.components for entry in entries])


def runs_settings(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The options that differ between runs, rows and evaluators aside."""
    shared: list[dict[str, Any]] = []
    for run in runs:
        own = {name: value for name, value in run.results.recipe.items() if name not in ("row", "evaluator")}
        teachers, regimes = own.get("teacher"), own.get("regime")
        if isinstance(teachers, list):
            own["teacher"] = {str(place): teacher for place, teacher in enumerate(teachers)}
        if isinstance(regimes, list):
            own["regime"] = {regime["name"]: {k: v for k, v in regime.items() if k != "name"} for regime in regimes}
        shared.append(own)
    return differing(shared)
