"""Whether intervals hold what they say: tables of known variances, through the arithmetic of every real table.

`python benchmarks/coverage.py --out docs/coverage.svg` prints and draws, for each setting, how many of the 95 % intervals
have the true difference in them, and in how many tables anything is told where there is nothing. No torch, minutes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from delt_host.compare.intervals import Design, Values, deltas, family, interval
from delt_host.compare.power import Costs, decide

TABLES = 2000
SHIFT = 30.0  # what rows that differ differ by: far beyond what any of them is told by chance


@dataclass(frozen=True)
class Setting:
    """How tables are made: standard deviations of set, student and teacher, and how many there are of each."""

    name: str
    sets: int = 3
    students: int = 1
    teachers: int = 1
    spread: tuple[float, float, float] = (1.0, 1.5, 0.0)
    unequal: float = 1.0
    """By how much the last row's spreads are larger than the reference's; those between in equal steps."""
    points: float | None = None
    """The resolution that is asked for after a pilot of `sets` of each teacher; None: no pilot."""
    budget: float = math.inf
    """Seconds of work after the pilot; a set of all rows takes 100, a student 20."""
    differ: int = 0
    """How many of the rows truly differ from the reference."""
    rows: int = 6
    """The reference among them."""


COSTS = Costs(100.0, 20.0)
SETTINGS = (
    Setting("3 sets", 3),
    Setting("3 sets, some rows differ", 3, differ=3),
    Setting("3 sets of 4 students", 3, 4),
    Setting("10 sets of 2, spreads 1 to 4", 10, 2, unequal=4.0),
    Setting("30 sets of 2", 30, 2),
    Setting("2 teachers, 6 sets of 2", 6, 2, 2, (1.0, 1.5, 1.0)),
    Setting("4 teachers, 12 sets, spreads 1 to 4", 12, 1, 4, (1.0, 1.5, 2.0), unequal=4.0),
    Setting("3 teachers, 10 sets: 4, 3, 3", 10, 2, 3, (1.0, 1.5, 1.0)),
    Setting("3 teachers, 4 sets: 2, 1, 1; no teacher's spread", 4, 1, 3),
    Setting("one row, pilot, then to ± 4", 3, 2, points=4.0, rows=2),
    Setting("pilot, then to ± 3", 3, 2, points=3.0),
    Setting("pilot, then to ± 2", 3, 2, points=2.0),
    Setting("pilot, then to ± 2, some rows differ", 3, 2, points=2.0, differ=3),
    Setting("pilot, then to ± 5, spreads 1 to 4", 3, 2, points=5.0, unequal=4.0),
    Setting("pilot, then to ± 2, a budget of 12 sets", 3, 2, points=2.0, budget=1680.0),
    Setting("3 teachers, pilot, then to ± 2", 3, 2, 3, (1.0, 1.5, 1.0), points=2.0),
)


@dataclass(frozen=True)
class Found:
    """Shares of tables, 0 to 1."""

    setting: Setting
    coverage: float
    """Of the intervals of all rows, that have the true difference in them."""
    naive: float
    """Of those of ordinary t over all sets, as if nobody had looked; as `coverage` without a pilot."""
    worst: float
    """Of the row whose intervals have it least often."""
    family_wise: float
    """Of the tables in which some row is told that does not differ."""
    sets: float
    """The mean."""
    students: float


class Drawn:
    """One table, that grows: what was drawn stays, whatever is asked for afterwards."""

    def __init__(self, setting: Setting, rng: np.random.Generator) -> None:
        self.setting, self.rng = setting, rng
        rows = setting.rows
        self.scale = np.linspace(1.0, setting.unequal, rows)
        self.teachers = rng.normal(size=(rows, setting.teachers)) * setting.spread[2]
        self.of_sets, self.of_students = np.empty((rows, 0)), np.empty((rows, 0, 0))

    def rows(self, sets: int, students: int) -> dict[str, Values]:
        """The scores of so many."""
        rows, before, had = self.of_students.shape
        self.of_sets = np.concatenate([self.of_sets, self.rng.normal(size=(rows, sets - before))], 1)
        old = np.concatenate([self.of_students, self.rng.normal(size=(rows, before, students - had))], 2)
        self.of_students = np.concatenate([old, self.rng.normal(size=(rows, sets - before, students))], 1)
        of_set, of_student, _ = self.setting.spread
        made = of_set * self.of_sets + self.teachers[:, np.arange(sets) % self.setting.teachers]
        values = (made[:, :, None] + of_student * self.of_students) * self.scale[:, None, None]
        values += self.truth[:, None, None]
        return {
            str(row): {number: dict(enumerate(own)) for number, own in enumerate(values[row].tolist())}
            for row in range(rows)
        }

    @property
    def truth(self) -> Any:
        """Each row's true difference to the reference, which is row 0."""
        found = np.zeros(self.setting.rows)
        found[1 : 1 + self.setting.differ] = SHIFT
        return found


def table(setting: Setting, drawn: Drawn) -> tuple[dict[str, Values], Design]:
    """The scores that a run ends with: after a pilot, those that the real rule decides."""
    if setting.points is None:
        sets, students, pilot = setting.sets, setting.students, 0
    else:
        pilot, first = setting.sets, setting.sets * setting.teachers
        design = _design(first, setting.teachers, pilot)
        rows = drawn.rows(first, setting.students)
        shown = [deltas(values, rows["0"]) for label, values in rows.items() if label != "0"]
        sets, students, _ = decide(shown, setting.points, design, COSTS, setting.budget)
    return drawn.rows(sets, students), _design(sets, setting.teachers, pilot)


def _design(sets: int, teachers: int, pilot: int) -> Design:
    return Design(range(sets), pilot, {number: number % teachers for number in range(sets)})


def simulate(setting: Setting, tables: int, rng: np.random.Generator) -> Found:
    """So many tables of a setting."""
    held, naive = np.zeros((tables, setting.rows - 1)), np.zeros((tables, setting.rows - 1))
    wrong, sizes = np.zeros(tables), np.zeros((tables, 2))
    for place in range(tables):
        drawn = Drawn(setting, rng)
        rows, design = table(setting, drawn)
        compared = family(rows, "0", design)
        for row in range(1, setting.rows):
            one, true = compared[str(row)], drawn.truth[row]
            held[place, row - 1] = one.found.low <= true <= one.found.high
            if design.pilot:
                plain = interval(deltas(rows[str(row)], rows["0"]), replace(design, pilot=0))
                assert plain is not None
                naive[place, row - 1] = plain.low <= true <= plain.high
            wrong[place] += one.told and not true
        sizes[place] = len(rows["0"]), len(rows["0"][0])
    return Found(
        setting,
        float(held.mean()),
        float((naive if setting.points is not None else held).mean()),
        float(held.mean(0).min()),
        float((wrong > 0).mean()),
        *map(float, sizes.mean(0)),
    )


def drawn_svg(found: Sequence[Found], tables: int) -> tuple[str, Any]:
    """The figure by the report's drawing, standing alone, and what Matplotlib made it of."""
    from delt_plugins.report.svg import INK, MUTED, RULE, drawing, inline, series

    with drawing():
        from matplotlib.figure import Figure

        height = 0.32 * len(found) + 0.9
        figure = Figure(figsize=(10, height))
        left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [2, 1]})
        places = range(len(found), 0, -1)
        for axes, values, number in (
            (left, [each.coverage for each in found], 0),
            (right, [each.family_wise for each in found], 1),
        ):
            # Rows share the reference, so their intervals are not independent: the error is that of the tables alone.
            errors = [196 * math.sqrt(value * (1 - value) / tables) for value in values]
            axes.errorbar(
                [100 * value for value in values], places, xerr=errors, fmt="o", color=series(number), ms=5, capsize=3
            )
            axes.grid(axis="x", lw=0.7)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(length=0)
        naive = [(100 * each.naive, place) for each, place in zip(found, places, strict=True) if each.setting.points]
        left.plot(*zip(*naive, strict=True), "x", color=MUTED, ms=6, ls="")
        left.axvspan(94, 96, color=RULE, alpha=0.4, lw=0)
        left.set_xlim(93, 97)
        left.set_xticks([93, 94, 95, 96])
        left.set_yticks(list(places), [each.setting.name for each in found])
        left.set_xlabel("coverage of 95 % intervals, %  (x: ordinary t)")
        right.axvline(5, color=INK, lw=1)
        right.set_xlim(0, 7)
        right.set_xlabel("family-wise error, %")
        figure.subplots_adjust(left=0.38, right=0.98, bottom=0.6 / height, top=0.98, wspace=0.06)
        text = str(inline(figure, "Coverage of 95 % intervals and family-wise error of what is told, by simulation"))
        colours = {
            "ink": "#222",
            "muted": "#777",
            "rule": "#ddd",
            "series-0": "#1f6fb4",
            "series-1": "#c2571a",
        }
        for name, colour in colours.items():
            text = text.replace(f"var(--{name})", colour)
        style = "<style>text{font-family:sans-serif}</style><rect width='100%' height='100%' fill='#fff'/>"
        opening, rest = text.split(">", 1)
        return f'{opening} xmlns="http://www.w3.org/2000/svg">{style}{rest}\n', figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=TABLES)
    parser.add_argument("--out", type=Path, help="an SVG")
    arguments = parser.parse_args()
    began, found = time.perf_counter(), []
    print("| setting | coverage % | ordinary t % | row that is least % | family-wise error % | sets | students |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number, setting in enumerate(SETTINGS):
        one = simulate(setting, arguments.tables, np.random.default_rng([28, number]))
        found.append(one)
        shares = (one.coverage, one.naive, one.worst, one.family_wise)
        figures = " | ".join(f"{100 * share:.1f}" for share in shares)
        print(f"| {setting.name} | {figures} | {one.sets:.1f} | {one.students:.1f} |", flush=True)
    print(f"\n{arguments.tables:,} tables of each, {time.perf_counter() - began:.0f} s")
    if arguments.out:
        arguments.out.write_text(drawn_svg(found, arguments.tables)[0], encoding="utf-8")


if __name__ == "__main__":
    main()
