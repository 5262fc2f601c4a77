"""Tables of finished runs for papers and programs: Markdown, LaTeX, CSV and JSON, from each run's results.json."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from delt_host.workshop import Line, cell, duration, lines, markdown, plain, read_results, size

Format = Literal["markdown", "latex", "csv", "json"]

HEADINGS = ("evaluator", "regime", "method", "role", "score", "n", "image-iterations", "recover", "images", "labels")


def render(runs: Sequence[Path], form: Format) -> str:
    """One table of all lines of the runs; with several runs, and in JSON, each line with its run's name."""
    found = [(run.name, line) for run in runs for line in lines(read_results(run))]
    if form == "json":
        return json.dumps([{"run": name, **_record(line)} for name, line in found], indent=1) + "\n"
    several = len(runs) > 1
    rows = [[plain(text) for text in ([name] * several + _cells(line, form))] for name, line in found]
    headings = [*(["run"] if several else []), *HEADINGS]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([[*headings, "mean", "std"], *([cell(text) for text in row] for row in rows)])
        return text.getvalue()
    if form == "markdown":
        rows = [[markdown(text) for text in row] for row in rows]
    return tabulate(rows, headings, "github" if form == "markdown" else "latex_booktabs", disable_numparse=True) + "\n"


def _record(line: Line) -> dict[str, Any]:
    """A line's figures, and the score of every set."""
    row, evaluator, summary = line.row, line.evaluator, line.summary
    return {
        "evaluator": evaluator.title,
        "regime": line.column,
        "label": row.label,
        "role": row.role,
        "score": evaluator.headline,
        "unit": evaluator.unit,
        "better": evaluator.better,
        "mean": _known(summary.mean),
        "std": _known(summary.std),
        "n": summary.n,
        "by_set": line.headline,
        "image_iterations": row.cost.image_iterations,
        "recover_seconds": line.recover_seconds,
        "image_bytes": row.image_bytes,
        "label_bytes": line.label_bytes,
        "differences": [{"other": d.other, "sentence": d.sentence} for d in line.differences],
        "failures": line.failures,
    }


def _cells(line: Line, form: Format) -> list[str]:
    row, evaluator, summary = line.row, line.evaluator, line.summary
    score = f"{summary.shown(line.digits)} {evaluator.unit}".strip()
    cells = [evaluator.title, line.column, row.label, row.role, score, str(summary.n)]
    costs = (row.cost.image_iterations, line.recover_seconds, row.image_bytes, line.label_bytes)
    if form == "csv":
        figures = (*costs, _known(summary.mean), _known(summary.std))
        return [*cells, *("" if value is None else str(value) for value in figures)]
    iterations, seconds, *sizes = costs
    return [*cells, f"{iterations:,}", duration(seconds), *map(size, sizes)]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
