"""What each section of the page shows, from the records of its runs; empty where there is nothing to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from markupsafe import Markup

from delt_host import InputError, RunError
from delt_host.workshop import (
    HISTORY_FILE,
    History,
    Line,
    Naming,
    Summary,
    load_history,
    naming,
    not_measured,
    short_name,
)  # fmt: skip
from delt_plugins.report import figures
from delt_plugins.report.figures import DrawnCurve, Mark
from delt_plugins.report.images import Strip, strips
from delt_plugins.report.run import Run, StudentCurve, per_class
from delt_plugins.report.settings import differing

CLASSES_SHOWN = 20  # of a figure by class: the ten most ahead and the ten most behind


@dataclass(frozen=True)
class ShownRow:
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
        return "failed" if not summary.n and self.line.failures else self.line.shown(summary)

    def mark(self, at: float = 0.0) -> Mark:
        values, unit = list(self.line.headline.values()), self.line.evaluator.unit
        return Mark(self.label, self.number, values, f"{self.score} {unit}".strip() if values else self.score, at)


@dataclass(frozen=True)
class ScoreTable:
    """All rows under one evaluator and regime."""

    title: str
    """The evaluator's, with the regime where there are several."""
    rows: list[ShownRow]

    @cached_property
    def naming(self) -> Naming:
        """What tells its rows apart beside their names."""
        return naming([row.line for row in self.rows])

    def cells(self, row: ShownRow) -> list[str]:
        """The row's values of the options that have columns."""
        names = self.naming
        return [*names.point(row.line), *names.cells(row.line)[len(names.points) + 1 :]]

    @property
    def columns(self) -> list[str]:
        """The options that have columns."""
        return [*self.naming.points, *self.naming.options]

    def name(self, row: ShownRow) -> str:
        """What stands first, where the columns say the rest."""
        return self.naming.name(row.line.row) + row.label.removeprefix(row.line.row.label)

    @property
    def whence(self) -> bool:
        """Whether it has to say where its figures are from."""
        return not_measured(row.line for row in self.rows)

    @property
    def held(self) -> bool:
        """Whether it says which share of a published budget was spent: where some row has one."""
        return any(row.line.row.of for row in self.rows)

    @property
    def heading(self) -> str:
        """What its scores are, with their unit."""
        evaluator = self.rows[0].line.evaluator
        name = "top-1" if evaluator.headline == "top1" else evaluator.headline
        return f"{name} ({evaluator.unit})" if evaluator.unit else name

    @property
    def percent(self) -> bool:
        return self.rows[0].line.evaluator.unit == "%"

    @property
    def trains(self) -> bool:
        """Whether its rows train students, so that costs and labels mean something."""
        return any(row.line.steps for row in self.rows)

    @property
    def lower(self) -> bool:
        """Whether lower scores are better."""
        return self.rows[0].line.evaluator.better == "lower"

    @property
    def with_best(self) -> bool:
        """Whether some epoch was better than the one that is reported."""
        lines = [row.line for row in self.rows]
        return any(line.best.n and line.best.mean != line.summary.mean for line in lines)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What can be told from the scores: each row that is compared with others, and a sentence for each of these."""
        return [(row.label, each.sentence) for row in self.rows for each in row.line.differences]

    @property
    def evaluator(self) -> str:
        """Its title, the same under every regime."""
        return self.rows[0].line.evaluator.title

    @property
    def scored(self) -> list[ShownRow]:
        return [row for row in self.rows if row.line.headline]


def key(run: Run, line: Line) -> tuple[str, str]:
    """What is the same for the same row under every evaluator and regime."""
    return str(run.home), line.row.label


def tables(runs: Sequence[Run]) -> list[ScoreTable]:
    """The rows of all runs by evaluator and regime, each row with its number; where names clash, with its run's."""
    numbers: dict[tuple[str, str], int] = {}
    by_table: dict[tuple[str, str], list[tuple[Run, Line]]] = {}
    columns = {line.column for run in runs for line in run.lines if line.column}
    for run in runs:
        for line in run.lines:
            numbers.setdefault(key(run, line), len(numbers))
            by_table.setdefault((short_name(line.evaluator.title), line.column), []).append((run, line))
    several = len({run.home for run in runs}) > 1
    found = []
    for (title, column), own in by_table.items():
        labels = [f"{line.called} · {run.home.name}" if several else line.called for run, line in own]
        often = Counter(labels)
        rows = []
        for (run, line), label in zip(own, labels, strict=True):
            label = label if often[label] == 1 else f"{line.called} · {run.path}"
            rows.append(ShownRow(run, line, label, numbers[key(run, line)]))
        found.append(ScoreTable(f"{title}, {column}" if column and len(columns) > 1 else title, rows))
    return found


def failed(tables: Sequence[ScoreTable]) -> dict[str, list[str]]:
    """Why rows failed, by their label, each reason once."""
    found: dict[str, dict[str, None]] = {}
    for row in (row for table in tables for row in table.rows if row.line.failures):
        found.setdefault(row.label, {}).update(dict.fromkeys(row.line.failures))
    return {label: list(reasons) for label, reasons in found.items()}


def over_cost(table: ScoreTable, cost: Callable[[Line], int], x_label: str) -> Markup | None:
    """Scores over a cost, where it differs between rows."""
    marks = [row.mark(cost(row.line)) for row in table.scored if row.line.row.role != "ceiling"]
    if len({mark.at for mark in marks}) < 2:
        return None
    return figures.scatter(marks, x_label, table.heading, table.percent)


def by_class(table: ScoreTable) -> list[tuple[str, Markup, list[tuple[str, float]]]]:
    """Each method against each baseline (or control, where there is none): title, figure, and differences by class."""
    found = []
    for method in (row for row in table.rows if row.line.row.role == "method"):
        same_run = [row for row in table.rows if row.run is method.run]
        others = [row for row in same_run if row.line.row.role == "baseline"]
        for other in others or [row for row in same_run if row.line.row.role == "control"]:
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


def learning(table: ScoreTable) -> list[Markup]:
    """The students' loss by epoch, and their accuracy where epochs were tested."""
    losses: list[DrawnCurve] = []
    accuracies: list[DrawnCurve] = []
    for row in table.rows:
        for score in row.line.done:
            if (curve := StudentCurve.of(score)) is not None:
                losses.append(DrawnCurve(row.number, curve.epoch, curve.loss))
                accuracies.append(DrawnCurve(row.number, curve.tested_epoch, curve.accuracy))
    if not losses:
        return []
    says = f"{table.title} by epoch, the mean of each row: "
    found = [figures.curves(losses, "epoch", "training loss", says + "training loss", log=True)]
    if any(len(trace.x) > 1 for trace in accuracies):
        split = next(score.split for row in table.rows for score in row.line.done)
        found.append(figures.curves(accuracies, "epoch", f"{split} top-1 (%)", says + f"top-1 on the {split} split"))
    return found


@dataclass(frozen=True)
class RowSets:
    """The sets of one row, and how they came to be."""

    row: ShownRow
    seed: int
    """The one whose images are shown."""
    strips: dict[str, Strip]
    histories: list[History]
    classes: int = 0
    per_class: int = 0
    """Images of each class; the strips hold some of them."""


def row_sets(table: ScoreTable, problems: list[str]) -> list[RowSets]:
    """Each row's images and histories; what cannot be read is said in `problems`."""
    found, seen = [], set()
    for row in table.rows:
        if row.key in seen:
            continue
        seen.add(row.key)
        histories = {}
        shown: RowSets | None = None
        for seed in (each.set for each in row.run.results.sets if each.row == row.line.row.label):
            place = row.run.sets.place(row.line.row.label, seed)
            try:
                loaded = row.run.sets.read(row.line.row.label, seed)
                if (place / HISTORY_FILE).is_file():
                    histories[seed] = load_history(place / HISTORY_FILE)
                if shown is None:
                    history = histories.get(seed)
                    if history is not None and len(history.iterations) != len(loaded.targets):
                        raise InputError(f"{place} holds a set and the history of another")
                    own = strips(row.label, row.number, loaded, history)
                    classes = len(loaded.class_names)
                    shown = RowSets(row, seed, own, [], classes, len(loaded.targets) // classes)
            except (InputError, RunError) as error:
                problems.append(str(error))
        if shown is not None or histories:
            found.append(replace(shown or RowSets(row, 0, {}, []), histories=list(histories.values())))
    return found


def recovery(sets: Sequence[RowSets]) -> list[tuple[str, Markup]]:
    """A figure for every loss term: how it fell in every row and seed, averaged over groups."""
    terms: dict[str, list[DrawnCurve]] = {}
    for each in sets:
        for curve in (curve for history in each.histories for curve in history.curves):
            for name, values in curve.terms.items():
                terms.setdefault(name, []).append(DrawnCurve(each.row.number, curve.iteration, values))
    says = "by iteration, the mean of each row"
    return [
        (name, figures.curves(traces, "iteration", name, f"Loss term {name} {says}", log=True))
        for name, traces in terms.items()
    ]


def settings(table: ScoreTable) -> tuple[list[ShownRow], dict[str, list[str]]]:
    """The rows with components, and the options that differ between them."""
    rows = [row for row in table.rows if row.line.row.components]
    return rows, differing([row.line.row.components for row in rows])


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
