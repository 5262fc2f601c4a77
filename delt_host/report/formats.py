"""Tables of finished runs for papers and programs: Markdown, LaTeX, CSV and JSON, from each run's results.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from delt_host.compare import decimals
from delt_host.errors import InputError
from delt_host.report.table import duration, size

Format = Literal["markdown", "latex", "csv", "json"]

HEADINGS = ("evaluator", "method", "role", "score", "n", "image-iterations", "recover", "images", "labels")


def read_results(run: Path) -> dict[str, Any]:
    """A run's results.json; InputError where the folder is no finished run's."""
    file = run / "results.json"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        lines = results["lines"]
    except FileNotFoundError:
        there = "is not finished" if (run / "experiment.toml").is_file() else "is not the folder of a run"
        raise InputError(f"{run} {there}: it has no results.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise InputError(f"{file} cannot be read: its lines are no list of tables")
    return dict(results)


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
