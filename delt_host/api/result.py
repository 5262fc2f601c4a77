"""What a run or an evaluation gives back: its table, scores, sets and images, as a notebook uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from delt_host.basics import batching
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError, unknown
from delt_host.basics.folder_names import shown_path
from delt_host.compare.lines import Point, lines_over
from delt_host.compare.naming import option_of
from delt_host.compare.shares import called
from delt_host.contracts.results import Results, RowRecord, read_results
from delt_host.contracts.sweep import read_sweep
from delt_host.contracts.teacher import Teacher
from delt_host.display.text import Table
from delt_host.plugins.registry import Registry, load_registry
from delt_host.runs import folder, sweep
from delt_host.runs.distilled import DistilledSet
from delt_host.runs.saved_sets import SavedSets

if TYPE_CHECKING:
    import pandas
    from PIL.Image import Image


@dataclass(frozen=True, repr=False)
class Result:
    """A run, an evaluation, or a sweep of runs, finished or interrupted. A notebook shows it as its table, and `print` does."""

    points: tuple[Point, ...]
    """All that was measured: of one run, or of each of a sweep with what it differs in."""
    folder: Path
    """Where it was written, with the report; of an interrupted run, where it will be once the same call has gone on."""
    teachers: tuple[Teacher, ...] = ()
    """Those of the run, of one seed of teachers after the other; none where it was read from its folder, and of a sweep."""
    registry: Registry | None = field(default=None, compare=False)
    """What was installed, and what was given as objects."""
    interrupted: bool = False
    """Whether it ended before it was finished: this is what was, and the same call goes on from there."""
    of_run: Path | None = None
    """The folder of the run whose sets an evaluation scored."""
    runs: Mapping[str, Result] = field(default_factory=dict)
    """Of a sweep, each run by its folder's name."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Of a sweep, the runs that failed as a whole, by their folders' names, and why."""
    reports: Mapping[str, Path] = field(default_factory=dict)
    """What readers are given, by its name: the page as a file."""

    @classmethod
    def of(
        cls,
        results: Results,
        folder: Path,
        teachers: tuple[Teacher, ...] = (),
        registry: Registry | None = None,
        interrupted: bool = False,
        of_run: Path | None = None,
    ) -> Result:
        """Of one run or evaluation."""
        return cls((Point({}, results),), folder, teachers, registry, interrupted, of_run)

    @property
    def results(self) -> Results:
        """All that was measured, as `results.json` has it. InputError for a sweep, of which `runs` has each."""
        if len(self.points) != 1:
            names = ", ".join(map(repr, self.runs))
            raise InputError(f"this is a sweep of {len(self.points)} runs: take one, as .runs[NAME], of {names}")
        return self.points[0].results

    @property
    def swept(self) -> bool:
        """Whether it is of a sweep."""
        return bool(self.runs or self.failed)

    @property
    def table(self) -> Table:
        """What the command prints: text where it is printed, HTML in a notebook."""
        return Table(self.points, self.interrupted)

    @property
    def rows(self) -> list[str]:
        """The labels of its rows, in the order of the table."""
        return list(dict.fromkeys(row.label for point in self.points for row in point.results.rows))

    @property
    def failures(self) -> dict[str, list[str]]:
        """The rows that failed, by label, and why; of a sweep, the runs, and their rows behind their names."""
        found = {name: [why] for name, why in self.failed.items()}
        for name, run in self.runs.items():
            found |= {f"{name}, {label}": why for label, why in run.failures.items()}
        for score in () if self.swept else self.results.scores:
            if score.failure and score.failure not in found.setdefault(score.row, []):
                found[score.row].append(score.failure)
        return found

    @property
    def differences(self) -> list[str]:
        """What can be told of each method beside every other row, a sentence each."""
        found, rows = self.results.differences, {row.label: row for row in self.results.rows}
        several = len({each.regime for each in found}) > 1
        return [
            f"{called(rows[each.row], each.regime)}{f' under {each.regime}' * (several and bool(each.regime))}: {each.sentence}"
            for each in found
        ]

    def to_pandas(self, scores: bool = False) -> pandas.DataFrame:
        """The table as a data frame: a line for each row, evaluator and regime, with `mean`, `std` over sets and `n`.

        With `scores`: a line for each set and student, with every score that its evaluator has. InputError without pandas.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("a data frame needs pandas, which is not installed: pip install pandas") from None
        return pandas.DataFrame(self._scores() if scores else self._lines())

    def set(self, row: str, seed: int | None = None) -> DistilledSet:
        """The distilled set of a row, of its first seed or the one that is named. InputError for a row that is not there."""
        record = self._row(row)
        seeds = [each.set for each in self.results.sets if each.row == record.label]
        if not seeds:
            why = "; ".join(self.failures.get(record.label, [])) or "it is of an interrupted run, or the whole real set"
            raise InputError(f"{record.label} has no distilled set: {why}")
        chosen = seeds[0] if seed is None else seed
        if chosen not in seeds:
            raise InputError(f"{record.label} has no set of seed {chosen}: there are {', '.join(map(str, seeds))}")
        return self._saved().read(record.label, chosen)

    def images(self, row: str, seed: int | None = None) -> Tensor:
        """(N, 3, S, S) uint8 RGB: the images of a row, of its first seed or the one that is named."""
        return self.set(row, seed).pixels

    def picture(self, row: str, seed: int | None = None) -> Image:
        """A row's images as one picture, a line for each class, which a notebook shows."""
        found = self.set(row, seed)
        return folder.grid(found.distilled, len(found.class_names))

    def soft_labels(self, row: str, seed: int | None = None, teacher: Teacher | None = None) -> Tensor:
        """(N, C) float32 logits that the first teacher which the set was made with, or another one, gives for the images of a
        row as they are.

        InputError where there is no teacher: of a run that was read from its folder, it is given.
        """
        found = self.set(row, seed)
        asked = teacher or self._teacher_of(int(found.about.get("seed", 0)))
        if asked is None:
            raise InputError("there is no teacher at hand: give one, as teacher=delt_host.squeeze(…)[0]")
        registry = self.registry or load_registry()
        network = asked.network(
            found.class_names, Compute.choose("cpu", "fp32"), registry.things("model"), found.normalization
        )
        places = torch.arange(len(found)).split(batching.in_one_pass(found.image_size))
        with torch.inference_mode():
            answers = [network(found.normalization.normalize(found.read(each))).float() for each in places]
        return torch.cat(answers).clone()

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return f"Result({', '.join(self.rows)}; {shown_path(self.folder)})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def _row(self, label: str) -> RowRecord:
        """By its label, or by its method where that has one row beside controls."""
        rows = self.results.rows
        of_method = [row for row in rows if row.method == label and row.role in ("method", "baseline")]
        found = [row for row in rows if row.label == label] or of_method
        if len(found) != 1:
            raise unknown("row", label, self.rows)
        return found[0]

    def _teacher_of(self, seed: int) -> Teacher | None:
        """The first of those that the set of a seed was made with; None where none is at hand."""
        number = next((score.teacher for score in self.results.scores if score.set == seed), 0)
        records = zip(self.teachers, self.results.teachers, strict=False)
        return next((teacher for teacher, record in records if record.seed == number), None)

    def _saved(self) -> SavedSets:
        """The sets of an evaluation lie in the folder of its run, which is the one around it if nobody says another."""
        registry = self.registry or load_registry()
        run = self.folder if self.results.made_by == "run" else self.of_run or self.folder.parent.parent
        return SavedSets(run, partial(registry.get, "form"), self.results)

    def _lines(self) -> list[dict[str, Any]]:
        found = list(lines_over(self.points))
        varied = dict.fromkeys(option for line in found for option in line.row.varied)
        return [
            {
                **line.point,
                "row": line.row.label,
                "role": line.row.role,
                "method": line.row.method,
                **{option: option_of(line.row, option) for option in varied},
                "evaluator": line.evaluator.title,
                "regime": line.column,
                "split": line.scores[0].split,
                "score": line.evaluator.headline,
                "unit": line.evaluator.unit,
                "mean": line.summary.mean,
                "std": line.summary.std,
                "n": line.summary.n,
                "image_iterations": line.row.cost.image_iterations,
                "recover_seconds": line.recover_seconds,
                "train_seconds": line.train_seconds,
                "of": line.row.of,
                "share_of_iterations": line.row.share_of_iterations,
                "share_of_steps": line.share_of_steps,
                "image_bytes": line.row.image_bytes,
                "label_bytes": line.label_bytes,
            }
            for line in found
        ]

    def _scores(self) -> list[dict[str, Any]]:
        return [
            {
                **point.varied,
                "row": score.row,
                "evaluator": score.evaluator,
                "regime": score.regime,
                "set": score.set,
                "student": score.student,
                "split": score.split,
                **score.scores,
                "failure": score.failure,
            }
            for point in self.points
            for score in point.results.scores
        ]


def load_run(path: str | Path) -> Result:
    """The results of a finished run, evaluation or sweep, from its folder. InputError where it is none."""
    there = Path(path).absolute()
    if read_sweep(there) is None:
        return Result.of(read_results(there), there)
    runs = {name: Result.of(point.results, there / name) for name, point in sweep.finished(there).items()}
    return Result(tuple(sweep.finished(there).values()), there, runs=runs)
