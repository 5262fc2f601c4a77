"""How the rows of a table are called: by a name, and a column for each option in which they differ.

So ten rows of a sweep are not ten labels that repeat what is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from delt_host.compare.lines import Line
from delt_host.compare.shares import mark
from delt_host.contracts.results import RowRecord
from delt_host.contracts.varied import labelled, value_shown

ABSENT = "–"
"""Where a row has no such option."""


@dataclass(frozen=True)
class Naming:
    """The columns of one table that say which row is which: those of `points`, the name, and those of `options`."""

    points: tuple[str, ...]
    """What its runs vary: `dataset`, `ipc`, or a dotted option."""
    options: tuple[str, ...]
    """What its rows differ in, of what was asked of any: components by stage, options by dotted name."""
    whole: frozenset[str] = frozenset()
    """The labels of rows that these do not tell apart."""

    def headings(self, name: str = "method", short: bool = False) -> list[str]:
        """Of all these columns; `short`: without the stage where that leaves no doubt."""
        shown = list(self.points), list(self.options)
        if short:
            last = [option.rpartition(".")[2] for option in (*self.points, *self.options)]
            shown = tuple(  # type: ignore[assignment]
                [part if last.count(part := option.rpartition(".")[2]) == 1 else option for option in options]
                for options in shown
            )
        return [*shown[0], name, *shown[1]]

    def cells(self, line: Line) -> list[str]:
        """What stands in these columns."""
        name = self.name(line.row) + mark(line.row)
        return [*self.point(line), name, *(option_of(line.row, option) for option in self.options)]

    def point(self, line: Line) -> list[str]:
        """What stands in those of the points."""
        return [_shown(line.point, option) for option in self.points]

    def name(self, row: RowRecord) -> str:
        """The row's label without what has a column, and without its mark."""
        left = [option for option in row.varied if option not in self.options]
        if row.label in self.whole or len(left) == len(row.varied):
            return row.label
        return labelled(row.name, {option: option_of(row, option) for option in left})


def naming(lines: Sequence[Line]) -> Naming:
    """How the rows of these lines are told apart."""
    rows = [line.row for line in lines]
    found = Naming(
        tuple(dict.fromkeys(option for line in lines for option in line.point)),
        _differing(rows),
    )
    called: dict[tuple[str, ...], set[str]] = {}
    for line in lines:
        called.setdefault(tuple(found.cells(line)), set()).add(line.row.label)
    return replace(found, whole=frozenset(label for labels in called.values() if len(labels) > 1 for label in labels))


def _differing(rows: Sequence[RowRecord]) -> tuple[str, ...]:
    """Of all that was asked of any row, what has several values; that a row lacks it is none."""
    asked = dict.fromkeys(option for row in rows for option in row.varied)
    return tuple(option for option in asked if len({option_of(row, option) for row in rows} - {ABSENT}) > 1)


def option_of(row: RowRecord, option: str) -> str:
    """A row's component of a stage, or option by its dotted name, asked for or not."""
    stage, *names = option.split(".")
    found: Any = row.components.get(stage)
    for name in names or ["name"]:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        found = found.get("name", found)
    return ABSENT if found is None else value_shown(found)


def _shown(point: Mapping[str, Any], option: str) -> str:
    return value_shown(point[option]) if option in point else ABSENT
