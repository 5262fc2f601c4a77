"""Cells side by side: what was measured, what was published, and whether the two agree."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tabulate import tabulate

from delt_host.workshop import Summary, decimals
from delt_host.workshop import markdown as markdown_text
from delt_plugins.reproduce.agreement import agreement
from delt_plugins.reproduce.records import CellRecord, mixed

NOTHING_CITED = "published figure not at hand"
NOTHING_MEASURED = "not run yet"


def columns(records: Sequence[CellRecord]) -> dict[str, list[str]]:
    """The table by heading: the axes, readings and budgets in which the records differ, then what is said of each."""
    table = {axis: [str(record.cell.get(axis, "")) for record in records] for axis in _axes(records)}
    readings, budgets = [record.reading for record in records], [_budget(record) for record in records]
    if len(set(readings)) > 1:
        table["reading"] = readings
    if len(set(budgets)) > 1:
        table["budget"] = budgets
    table["measured"] = [_measured(record) for record in records]
    table["seeds"] = [",".join(map(str, sorted(record.seeds))) or "–" for record in records]
    table["published (cited)"] = [_cited(record) for record in records]
    table["within the spreads?"] = [_verdict(record) for record in records]
    return table


def _axes(records: Sequence[CellRecord]) -> list[str]:
    axes = list(dict.fromkeys(axis for record in records for axis in record.cell))
    several = [axis for axis in axes if len({str(record.cell.get(axis)) for record in records}) > 1]
    return several or axes


def _budget(record: CellRecord) -> str:
    parts = [(record.iterations, "its"), (record.epochs, "epochs")]
    return ", ".join(f"{count:,} {what}" for count, what in parts if count) or "–"


def _measured(record: CellRecord) -> str:
    found = record.summary
    return found.shown(decimals(record.unit)) + _unit(record) if found.n else NOTHING_MEASURED


def _cited(record: CellRecord) -> str:
    cited = record.published
    if cited is None:
        return NOTHING_CITED
    # A published figure may have more digits than a measured one is worth; none is dropped.
    digits = max(decimals(record.unit), min(len(f"{cited.mean:g}".partition(".")[2]), 3))
    return Summary(cited.mean, math.nan if cited.std is None else cited.std, 1).shown(digits) + _unit(record)


def _verdict(record: CellRecord) -> str:
    judged, digits = agreement(record.summary, record.published), decimals(record.unit)
    if judged is None:
        return "–"
    allowed = "no spread" if math.isnan(judged.allowed) else f"allowed {judged.allowed:.{digits}f}"
    return f"{judged.verdict}: {judged.difference:+.{digits}f}, {allowed}"


def _unit(record: CellRecord) -> str:
    return f" {record.unit}" if record.unit not in ("", "%") else ""


def captions(records: Sequence[CellRecord]) -> list[str]:
    """What has to be said of the figures, as sentences."""
    said = []
    alone = [axis for axis in dict.fromkeys(a for r in records for a in r.cell) if axis not in _axes(records)]
    if alone and records:
        said.append("All cells: " + ", ".join(f"{axis} {records[0].cell.get(axis)}" for axis in alone) + ".")
    units = sorted({f"{r.score} in {r.unit}" if r.unit else r.score for r in records})
    ratios = sorted({r.per for r in records if r.per})
    said.append(f"Measured: {', '.join(units)}" + (f", divided by that of {', '.join(ratios)}" if ratios else "") + ".")
    for title in dict.fromkeys(record.regime for record in records if record.regime):
        said.append(f"Regime {title}.")
    for name in dict.fromkeys(record.scale for record in records):
        said.append(_scale(name, [record for record in records if record.scale == name]))
    if changed := dict.fromkeys(text for record in records for text in record.changed):
        said.append(f"Not as the table says, by the command: {', '.join(changed)}.")
    for source in dict.fromkeys(r.published.source for r in records if r.published):
        said.append(f"Cited from {source}.")
    judged = [agreement(record.summary, record.published) for record in records]
    if any(one is not None for one in judged):
        assumed = any(one is not None and one.assumed for one in judged)
        said.append(
            "agrees: the difference is at most twice the root of both spreads squared and added"
            + ("; where the published spread is not at hand, ours stands for it" if assumed else "")
            + "."
        )
    for record in records:
        if several := list(mixed(record)):
            said.append(f"{record.name}: its seeds have {' and '.join(several)}.")
    return said


def _scale(name: str, records: Sequence[CellRecord]) -> str:
    steps, epochs, seeds = (
        _range(sorted(set(counts)))
        for counts in ([r.iterations for r in records], [r.epochs for r in records], [len(r.seeds) for r in records])
    )
    spent = f"iterations of recovery {steps}, epochs of students {epochs}, seeds finished {seeds}"
    share = records[0].share
    if all(part == 1 for part in share.values()):
        return f"Scale {name}: the published budget, {spent}."
    told = ", ".join(f"{part:.0%} of the published {what}" for what, part in share.items())
    return f"Scale {name}: {told}; {spent}. NOT COMPARABLE with the published figures, whose budget was another."


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"


def show(console: Console, title: str, records: Sequence[CellRecord]) -> None:
    """Print the table for a terminal."""
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    found = columns(records)
    for heading in found:
        table.add_column(heading, overflow="fold", no_wrap=heading == "measured")
    for row in zip(*found.values(), strict=True):
        table.add_row(*map(escape, row))
    console.print(table)
    for sentence in captions(records):
        console.print(f"  {escape(sentence)}", highlight=False)


def markdown(title: str, records: Sequence[CellRecord]) -> str:
    """The table and what is to be said of it as Markdown."""
    cells = {
        markdown_text(heading): [markdown_text(text) for text in column] for heading, column in columns(records).items()
    }
    grid = tabulate(cells, "keys", "github", disable_numparse=True)
    said = "\n".join(f"- {markdown_text(sentence)}" for sentence in captions(records))
    return f"**{markdown_text(title)}**\n\n{grid}\n\n{said}\n"
