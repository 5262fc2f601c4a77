"""``delt-host runs``: past runs and what came out of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host.workshop import terminal

if TYPE_CHECKING:
    from delt_host import Results
    from delt_host.workshop import Sweep


SWEEP = "sweep.json"


@click.command("runs")
@click.argument("folder", required=False, default="runs", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(folder: Path, as_json: bool) -> None:
    """List past runs, with the best row of each.

    Those in FOLDER (default runs), the newest first, and what is unfinished.
    """
    from rich.markup import escape
    from rich.table import Table

    from delt_host import InputError

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; `delt-host run` makes one, or name another")
    try:
        folders = [path for path in folder.iterdir() if os.path.isdir(path)]  # noqa: PTH112 - never an error
        found = [summary for path in folders if (summary := _summary(path)) is not None]
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    found.sort(key=lambda run: run["when"], reverse=True)
    if as_json:
        terminal.say(json.dumps(found, indent=1))
        return
    if not found:
        terminal.say(f"no runs in {folder}")
        return
    table = Table()
    for heading in ("run", "when", "dataset", "rows", "best"):
        table.add_column(heading, overflow="fold")
    for run in found:
        table.add_row(*(escape(str(run[key])) for key in ("run", "when", "dataset", "rows", "best")))
    terminal.out().print(table)


def _results(path: Path) -> Results:
    """The run's own results, or those of its newest evaluation: an imported set has no others."""
    from delt_host.workshop import RESULTS_FILE, read_results

    if not (path / RESULTS_FILE).exists():
        found = path.glob(f"evaluations/*/{RESULTS_FILE}")
        path = max(found, key=lambda file: file.stat().st_mtime, default=path / RESULTS_FILE).parent
    return read_results(path)


def _summary(path: Path) -> dict[str, Any] | None:
    """What a run's folder says, as far as it can be read; None for one that is no run's."""
    import datetime

    from delt_host import InputError

    about = {"run": path.name, "when": "", "dataset": "", "rows": "", "best": "unfinished"}
    try:
        sweep = _sweep(path)
        moment = datetime.datetime.fromtimestamp((path / (SWEEP if sweep else "experiment.toml")).stat().st_mtime)
    except FileNotFoundError:
        return None
    except InputError as error:
        return {**about, "best": str(error)}
    except OSError as error:
        return {**about, "best": f"cannot be read: {error.strerror}"}
    from delt_host.workshop import lines

    about["when"] = f"{moment:%Y-%m-%d %H:%M}"
    if sweep:
        return about | _of_sweep(path, sweep)
    try:
        results = _results(path)
        seeds, found = len({score.set for score in results.scores}), lines(results)
        about["dataset"] = f"{results.data.name}, IPC {results.recipe.get('ipc')}, {seeds} seed{'s' * (seeds != 1)}"
        about["rows"] = ", ".join(row.label for row in results.rows)
        first = [line for line in found if (line.evaluator, line.regime) == (found[0].evaluator, found[0].regime)]
        scored = [line for line in first if line.headline and line.row.role != "ceiling"]
        if scored:
            pick = max if scored[0].evaluator.better == "higher" else min
            best = pick(scored, key=lambda line: line.summary.mean)
            about["best"] = f"{best.called}: {best.summary.mean:.1f} {best.evaluator.unit}".strip()
            about["best"] += f" ({best.column})" if best.column and len(results.regimes) > 1 else ""
        else:
            about["best"] = "every row failed"
    except InputError as error:
        if "is not finished" not in str(error):
            about["best"] = str(error)
        elif _imported(path):
            about["best"] = "imported; not evaluated"
    except OSError as error:
        about["best"] = f"cannot be read: {error.strerror}"
    return about


def _sweep(path: Path) -> Sweep | None:
    """What a sweep's folder says of its runs; InputError where that cannot be read."""
    if not (path / SWEEP).is_file():
        return None
    from delt_host.workshop import read_sweep

    return read_sweep(path)


def _of_sweep(path: Path, sweep: Sweep) -> dict[str, str]:
    """What its runs differ in, and how many are finished; each of them is listed by the sweep's own folder."""
    from delt_host.workshop import RESULTS_FILE, value_shown

    options: dict[str, dict[str, None]] = {}
    for point in sweep.points:
        for option, value in point.varied.items():
            options.setdefault(option, {})[value_shown(value)] = None
    done = sum((path / point.folder / RESULTS_FILE).is_file() for point in sweep.points)
    return {
        "dataset": "; ".join(f"{option} {', '.join(values)}" for option, values in options.items()),
        "rows": f"a sweep of {len(sweep.points)} runs",
        "best": f"{done} of {len(sweep.points)} finished; delt-host runs {path}",
    }


def _imported(path: Path) -> bool:
    """Whether `delt-host import` made the folder, which leaves no results."""
    import tomllib

    try:
        recipe = tomllib.loads((path / "experiment.toml").read_text(encoding="utf-8"))
        return recipe["row"][0]["initializer"]["name"] == "imported"
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return False
