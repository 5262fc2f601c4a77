"""The comparison in the terminal: scores, plain sentences, and costs, for each evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.lines import Line, by_evaluator, lines
from delt_host.results import Results
from delt_host.units import duration, size

ROLE_STYLE = {"method": "bold", "baseline": "", "control": "dim", "ceiling": "dim"}


def show(console: Console, results: Results) -> None:
    """Print, for each evaluator, the scores and the cost of every row, and what can be told from them."""
    for title, chosen in by_evaluator(lines(results)).items():
        console.print(_scores(f"{results.data.name}, IPC {results.recipe['ipc']}, {title}", chosen))
        for line in chosen:
            if line.row.matched:
                console.print(f"  {escape(line.row.label)}: {escape(line.row.matched)}", highlight=False)
            for difference in line.differences:
                console.print(f"  {escape(line.row.label)}: {escape(difference.sentence)}", highlight=False)
            for failure in line.failures:
                console.print(f"  [red]{escape(line.row.label)} failed:[/red] {escape(failure)}", highlight=False)
        if any(line.steps for line in chosen):  # the others train nothing and cost next to nothing
            console.print(_costs(chosen))
    best = results.recipe["protocol"]["report"] == "best"
    epoch = "best epoch, chosen on the test set" if best else "last epoch"
    seeds = ", ".join(map(str, results.recipe["seeds"]))
    if (students := max((line.students for line in lines(results)), default=1)) > 1:
        seeds += f", each the mean of {students} students"
    for regime in results.regimes:
        console.print(
            f"  Protocol {regime.protocol.title} [{regime.protocol.fingerprint}], {epoch}; ± is the standard "
            f"deviation over seeds {seeds}.",
            highlight=False,
            markup=False,
        )


def _scores(heading: str, lines: Sequence[Line]) -> Table:
    evaluator = lines[0].evaluator
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("method", overflow="fold")
    table.add_column("role")
    name = "top-1" if evaluator.headline == "top1" else evaluator.headline
    arrow = "" if evaluator.better == "higher" else " (lower is better)"
    table.add_column(f"{name} {evaluator.unit}{arrow}".strip(), justify="right")
    with_best = any(line.best.n and line.best.mean != line.summary.mean for line in lines)
    if with_best:
        table.add_column("best epoch", justify="right")
    table.add_column("n", justify="right")
    table.add_column("labels")
    table.add_column("figure")
    for line in lines:
        best = [line.best.shown(line.digits)] if with_best else []
        score = line.summary.shown(line.digits)
        cells = [escape(line.row.label), line.row.role, score, *best, str(line.summary.n)]
        table.add_row(*cells, line.labels, line.provenance, style=ROLE_STYLE[line.row.role])
    return table


def _costs(lines: Sequence[Line]) -> Table:
    # Eighty columns must do: figures are never broken over lines, a long method's name is.
    table = Table(title="cost of one seed", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("method", overflow="fold", min_width=11)
    for heading in ("image-its", "recover", "images", "labels", "steps", "train"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            escape(line.row.label),
            f"{line.row.cost.image_iterations:,}",
            duration(line.recover_seconds),
            size(line.row.image_bytes),
            size(line.label_bytes),
            f"{line.steps:,}",
            duration(line.train_seconds),
            style=ROLE_STYLE[line.row.role],
        )
    return table
