"""The page's figures, drawn narrow so that a phone shows them at their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from markupsafe import Markup

from delt_host.workshop import half_interval
from delt_plugins.report.images import evenly
from delt_plugins.report.svg import INK, MUTED, PAPER, RULE, inline, plain, series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

WIDTH = 340  # CSS pixels
LABEL, CLASS_NAME = 36, 15  # the longest label of a bar, and of a class
MARKERS = "osD^vPXp"
POINTS = 80  # of a line: more than that no eye tells apart at this width


@dataclass(frozen=True)
class Mark:
    """A row as the figures show it."""

    label: str
    number: int
    """Its colour and its marker."""
    values: Sequence[float]
    """Each seed's; empty for a row that failed."""
    shown: str = ""
    """The values in words."""
    at: float = 0.0
    """Its cost, where a figure shows one."""

    @property
    def mean(self) -> float:
        return fmean(self.values)

    @property
    def half(self) -> float:
        """Half the confidence interval of the mean; 0 where there is none."""
        half = half_interval(self.values)
        return 0.0 if math.isnan(half) else half


@dataclass(frozen=True)
class DrawnCurve:
    """One curve of one row and seed."""

    number: int
    x: Sequence[float]
    y: Sequence[float]


def bars(marks: Sequence[Mark], axis_label: str, percent: bool) -> Markup:
    """A bar to each row's mean, its confidence interval, and a dot for every seed."""
    axes = _axes(height=36 * len(marks) + 36, left=6, right=8, bottom=34, top=0)
    for place, mark in enumerate(marks):
        axes.annotate(plain(mark.label, LABEL), (0, place - 0.3), (0, 0), ("axes fraction", "data"), "offset points")
        end = {"xycoords": ("axes fraction", "data"), "ha": "right"}
        axes.annotate(mark.shown, (1, place - 0.3), color=INK if mark.values else MUTED, **end)  # type: ignore[arg-type]
        if mark.values:
            axes.barh(place, mark.mean, height=0.36, color=series(mark.number))
            _interval(axes, mark.mean, place, mark.half, "x")
            axes.plot(mark.values, [place] * len(mark.values), "o", ms=5, mfc=PAPER, mec=INK, mew=1.2, clip_on=False)
    axes.set_ylim(len(marks) - 0.6, -0.8)
    axes.set_xlim(_possible(axes.get_xlim(), marks, percent))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis_label)
    axes.axvline(0, color=RULE, lw=1)
    return _done(axes, "x", f"Bars of {axis_label}: " + "; ".join(f"{m.label} {m.shown}" for m in marks))


def scatter(marks: Sequence[Mark], x_label: str, y_label: str, percent: bool) -> Markup:
    """Each row's mean and confidence interval over its cost."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes = _axes(height=250, left=52, right=14, bottom=36, top=6)
    for mark in marks:
        _interval(axes, mark.at, mark.mean, mark.half, "y", series(mark.number))
        axes.plot(mark.at, mark.mean, MARKERS[mark.number % len(MARKERS)], color=series(mark.number), ms=8, mec=PAPER)
    axes.margins(0.08)
    axes.set_ylim(_possible(axes.get_ylim(), marks, percent))
    costs = [mark.at for mark in marks]
    if min(costs) > 0 and max(costs) > 30 * min(costs):
        axes.set_xscale("log")
        _plain_log(axes.xaxis)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return _done(axes, "both", f"{y_label} over {x_label}: " + "; ".join(f"{m.label} {m.shown}" for m in marks))


def differences(classes: Sequence[tuple[str, Sequence[float]]], numbers: tuple[int, int], title: str) -> Markup:
    """For each class the mean difference in points, in the colour of the row that is ahead, and a dot for every seed."""
    axes = _axes(height=22 * len(classes) + 40, left=104, right=10, bottom=34, top=4)
    for place, (_, values) in enumerate(classes):
        mean = fmean(values)
        axes.barh(place, mean, height=0.62, color=series(numbers[mean < 0]))
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "o", ms=3.5, mfc=PAPER, mec=INK, mew=0.9)
    axes.set_yticks(range(len(classes)), [plain(name, CLASS_NAME) for name, _ in classes])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.axvline(0, color=INK, lw=1)
    axes.set_xlabel("difference in points")
    said = "; ".join(f"{name} {fmean(values):+.1f}" for name, values in classes)
    return _done(axes, "x", f"{title}, difference by class: {said}")


def curves(drawn: Sequence[DrawnCurve], x_label: str, y_label: str, says: str, log: bool = False) -> Markup:
    """Each row's mean over seeds, on a band from the lowest to the highest seed."""
    from matplotlib.ticker import MaxNLocator

    axes = _axes(height=230, left=56, right=10, bottom=36, top=6)
    alike: dict[tuple[int, tuple[float, ...]], list[Sequence[float]]] = {}
    for curve in drawn:
        alike.setdefault((curve.number, tuple(curve.x)), []).append(curve.y)
    for (number, x), seeds in alike.items():
        at, colour = _thinned(x), series(number)
        low, high, mean = (_thinned([of(ys) for ys in zip(*seeds, strict=True)]) for of in (min, max, fmean))
        if len(seeds) > 1:
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(at, mean, color=colour, lw=1.4, marker="o" if len(at) < 12 else "", ms=3.5)
    if log and all(value > 0 for curve in drawn for value in curve.y):
        axes.set_yscale("log")
        _plain_log(axes.yaxis)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(x_label)
    axes.set_ylabel(plain(y_label, LABEL))
    return _done(axes, "both", says)


def swatch(number: int) -> Markup:
    """A row's colour and marker, for the legend."""
    axes = _axes(height=14, width=14, left=0, right=0, bottom=0, top=0)
    axes.plot(0, 0, MARKERS[number % len(MARKERS)], color=series(number), ms=9)
    axes.set_axis_off()
    return inline(axes.get_figure(), "")  # type: ignore[arg-type]


def _axes(*, height: float, left: float, right: float, bottom: float, top: float, width: float = WIDTH) -> Axes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    axes: Axes = figure.add_axes(place)
    return axes


def _done(axes: Axes, grid: str, says: str) -> Markup:
    axes.grid(axis=grid, lw=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    return inline(axes.get_figure(), says)  # type: ignore[arg-type]


def _possible(limits: tuple[float, float], marks: Sequence[Mark], percent: bool) -> tuple[float, float]:
    """An axis without the room that a whisker would take below zero or above 100 %, where no value can be."""
    values = [value for mark in marks for value in mark.values]
    low, high = limits
    return max(low, 0) if min(values) > 0 else low, min(high, 100) if percent and max(values) < 100 else high


def _plain_log(axis: Axis) -> None:
    """Ticks that are read as numbers: powers of ten would be mathematical text, which is off."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _interval(axes: Axes, x: float, y: float, half: float, along: str, colour: str = INK) -> None:
    if half:
        axes.errorbar(x, y, **{f"{along}err": half}, fmt="none", ecolor=colour, elinewidth=1.4, capsize=4)  # type: ignore[arg-type]


def _thinned(values: Sequence[float]) -> list[float]:
    return [values[place] for place in evenly(len(values), POINTS)]
