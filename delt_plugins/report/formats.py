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

from delt_host.workshop import (
    Line,
    Naming,
    Point,
    answers,
    cell,
    check_one_split,
    duration,
    lines_over,
    markdown,
    naming,
    not_measured,
    option_of,
    percent,
    plain,
    read_results,
    short_name,
    size,
)  # fmt: skip
from delt_plugins.report.run import each_run

Format = Literal["markdown", "latex", "csv", "json"]

_LATEX = {each: rf"\{each}" for each in "&%$#_{}"} | {"<": r"\textless{}", ">": r"\textgreater{}"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
HEADINGS = ("role", "score", "n", "image-iterations", "recover", "images", "labels")
SHARES = ("of published iterations", "of published steps")
"""Of its method's published budget, where a row has one; CSV has these columns always."""


def render(runs: Sequence[Path], form: Format) -> str:
    """One table of all lines of the runs, a sweep's among them; with several, and in JSON, each line with its run's name."""
    read = [(run.name, Point(point, read_results(run))) for run, point in each_run(runs)]
    check_one_split(point.results for _, point in read)
    found = [(name, line) for name, point in read for line in lines_over([point])]
    if form == "json":
        return json.dumps([{"run": name, **_record(line)} for name, line in found], indent=1) + "\n"
    several, names = len({name for name, _ in found}) > 1, naming([line for _, line in found])
    whence = not_measured(line for _, line in found)
    held = form != "csv" and any(line.row.of for _, line in found)
    rows = [
        [plain(text) for text in ([name] * several + _cells(line, names, whence, held, form))] for name, line in found
    ]
    named = [*names.points, "evaluator", "regime", *names.headings()[len(names.points) :]]
    headings = [*["run"] * several, *named, *HEADINGS, *(SHARES if held else ()), *["figure"] * whence]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(
            [
                [*headings, "mean", "std", "split", "published method", *SHARES],
                *([cell(text) for text in row] for row in rows),
            ]
        )
        return text.getvalue()
    if form == "markdown":
        rows = [[markdown(text) for text in row] for row in rows]
    said = [
        told[0].upper() + told[1:] + "." for told in dict.fromkeys(one.results.scored_on for _, one in read) if told
    ]
    said += [
        (f"{name}: " if len(read) > 1 else "") + plain(each) for name, one in read for each in answers(one.results)
    ]
    grid = tabulate(rows, headings, "github" if form == "markdown" else "latex_booktabs", disable_numparse=True) + "\n"
    return grid + (_items(said, form) if said else "")


def _items(sentences: Sequence[str], form: Format) -> str:
    """What the table answers, as a list behind it."""
    if form == "markdown":
        return "\n" + "".join(f"- {markdown(each)}\n" for each in sentences)
    items = "".join(f"\\item {''.join(_LATEX.get(each, each) for each in sentence)}\n" for sentence in sentences)
    return f"\n\\begin{{itemize}}\n{items}\\end{{itemize}}\n"


def _record(line: Line) -> dict[str, Any]:
    """A line's figures, and the score of every set."""
    row, evaluator, summary = line.row, line.evaluator, line.summary
    return {
        "evaluator": evaluator.title,
        "split": line.scores[0].split,
        "regime": line.column,
        "point": line.point,
        "label": row.label,
        "method": row.method,
        "varied": {option: option_of(row, option) for option in row.varied},
        "role": row.role,
        "score": evaluator.headline,
        "unit": evaluator.unit,
        "better": evaluator.better,
        "mean": _known(summary.mean),
        "std": _known(summary.std),
        "n": summary.n,
        "by_set": line.headline,
        "image_iterations": row.cost.image_iterations,
        "of": row.of,
        "share_of_iterations": row.share_of_iterations,
        "share_of_steps": line.share_of_steps,
        "recover_seconds": line.recover_seconds,
        "image_bytes": row.image_bytes,
        "label_bytes": line.label_bytes,
        "differences": [{"other": d.other, "sentence": d.sentence} for d in line.differences],
        "failures": line.failures,
    }


def _cells(line: Line, names: Naming, whence: bool, held: bool, form: Format) -> list[str]:
    row, evaluator, summary = line.row, line.evaluator, line.summary
    score = " ".join(filter(None, (line.shown(summary), evaluator.unit)))
    own = names.cells(line)[len(names.points) :]
    cells = [*names.point(line), short_name(evaluator.title), line.column, *own, row.role, score, str(summary.n)]
    last = [line.provenance] if whence else []
    shares = (row.share_of_iterations, line.share_of_steps)
    costs = (row.cost.image_iterations, line.recover_seconds, row.image_bytes, line.label_bytes)
    if form == "csv":
        figures = [_number(value) for value in (*costs, _known(summary.mean), _known(summary.std))]
        of = [row.of, *map(_number, shares)]
        return [*cells, *figures[: len(costs)], *last, *figures[len(costs) :], line.scores[0].split, *of]
    iterations, seconds, *sizes = costs
    told = map(percent, shares) if held else ()
    return [*cells, f"{iterations:,}", duration(seconds), *map(size, sizes), *told, *last]


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
