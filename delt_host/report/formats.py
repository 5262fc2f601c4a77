"""Tables of finished runs for papers and programs: Markdown, LaTeX, CSV and JSON, from each run's results.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from delt_host.report.finished import read_results
from delt_host.units import decimals, duration, size

Format = Literal["markdown", "latex", "csv", "json"]

HEADINGS = ("evaluator", "method", "role", "score", "n", "image-iterations", "recover", "images", "labels")


def render(runs: Sequence[Path], form: Format) -> str:
    """One table of all lines of the runs; with several runs, and in JSON, each line with its run's name."""
    if form == "json":
        records = [{"run": run.name, **line} for run in runs for line in read_results(run)["lines"]]
        return json.dumps(records, indent=1) + "\n"
    several = len(runs) > 1
    rows: list[list[str]] = []
    for run in runs:
        rows += [[run.name] * several + row for row in _rows(read_results(run), form)]
    headings = [*(["run"] if several else []), *HEADINGS]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([[*headings, "mean", "std"], *rows])
        return text.getvalue()
    if form == "markdown":
        rows = [[cell.replace("|", r"\|") for cell in row] for row in rows]
    return tabulate(rows, headings, "github" if form == "markdown" else "latex_booktabs", disable_numparse=True) + "\n"


def _rows(results: dict[str, Any], form: Format) -> list[list[str]]:
    rows = []
    for line in results["lines"]:
        mean, std, unit = line["summary"]["mean"], line["summary"]["std"], line.get("unit", "%")
        digits = decimals(unit)
        score = "–" if mean is None else f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")
        recover = line.get("recover_seconds")
        cells = [
            line["evaluator"],
            line["label"],
            line["role"],
            f"{score} {unit}".strip(),
            str(line["summary"]["n"]),
            f"{line['image_iterations']:,}",
            "–" if recover is None else duration(recover),
            size(line["image_bytes"]),
            size(line["label_bytes"]),
        ]
        if form == "csv":
            plain = [
                str(line["image_iterations"]),
                str(recover or ""),
                str(line["image_bytes"]),
                str(line["label_bytes"]),
            ]
            cells = [*cells[:5], *plain, "" if mean is None else str(mean), "" if std is None else str(std)]
        rows.append([" ".join(cell.split()) for cell in cells])
    return rows
