"""The share of its published budget that a row was given: below a fifth of it a score is no figure of the method.

Who sees a marked row of a comparison is not to take it for what a paper reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from delt_host.contracts.results import RowRecord

LEAST = 0.2
"""The share from which on a score may be called the method's."""
MARK = "†"


@dataclass(frozen=True)
class Spent:
    """What a row is given, where there is no record of it; fields as `RowRecord` has them."""

    label: str
    of: str = ""
    share_of_iterations: float | None = None
    shares_of_steps: Mapping[str, float] = field(default_factory=dict)


def mark(row: RowRecord | Spent, *regimes: str) -> str:
    """The mark where a row's scores under these regimes, or else under all of its run, are of less than that, in iterations or
    in students' steps; else nothing."""
    every = regimes or tuple(row.shares_of_steps) or ("",)
    return MARK * all(
        min(_known(row.share_of_iterations), _known(row.shares_of_steps.get(one))) < LEAST for one in every
    )


def called(row: RowRecord, *regimes: str) -> str:
    """A row's label with its mark under these regimes, or under all."""
    return row.label + mark(row, *regimes)


def _known(share: float | None) -> float:
    return 1.0 if share is None else share


def percent(share: float | None) -> str:
    """`2.3 %`, `12 %`, `250 %`; a dash for None."""
    if share is None:
        return "–"
    if LEAST - 0.005 <= share < LEAST:  # 20 % would say that it is not below
        return f"{math.floor(1000 * share) / 10:.1f} %"
    return f"{100 * share:{'.2g' if share < 0.1 else '.0f'}} %"


def note(rows: Iterable[RowRecord | Spent]) -> str:
    """What the mark says, in a sentence with the shares of each marked row; empty where there is none."""
    told = [f"{row.label} ({'; '.join(below)})" for row in rows if (below := [*_below(row)])]
    spent = "of less than a fifth of the published budget, so no figure of the published method"
    return f"{MARK} {spent}: {', '.join(told)}." if told else ""


def _below(row: RowRecord | Spent) -> Iterator[str]:
    of = f"{row.of}'s"
    if _known(row.share_of_iterations) < LEAST:
        yield f"{percent(row.share_of_iterations)} of {of} iterations"
        of = "its"
    regimes: dict[str, list[str]] = {}
    for regime, share in row.shares_of_steps.items():
        if share < LEAST:
            regimes.setdefault(percent(share), []).append(regime)
    for spent, names in regimes.items():
        yield f"{spent} of {of} students' steps under {' and '.join(names)}"
