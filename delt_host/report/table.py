"""The comparison in the terminal: scores, plain sentences, and costs, for each evaluator."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.compare import Line, Summary
from delt_host.experiment import Experiment
from delt_host.units import decimals, duration, size

ROLE_STYLE = {"method": "bold", "baseline": "", "control": "dim", "ceiling": "dim"}


def show(console: Console, experiment: Experiment, lines: Sequence[Line]) -> None:
    """Print, for each evaluator, the scores and the cost of every row, and what can be told from them."""
    for title in dict.fromkeys(line.evaluator for line in lines):
        chosen = [line for line in lines if line.evaluator == title]
        console.print(_scores(experiment, title, chosen))
        for line in chosen:
            if line.row.matched:
                console.print(f"  {escape(line.row.label)}: {escape(line.row.matched)}", highlight=False)
            for difference in line.differences:
                console.print(f"  {escape(line.row.label)}: {escape(difference.sentence)}", highlight=False)
            for failure in line.failures:
                console.print(f"  [red]{escape(line.row.label)} failed:[/red] {escape(failure)}", highlight=False)
        if any(line.steps for line in chosen):  # the others train nothing and cost next to nothing
            console.print(_costs(chosen))
    epoch = "best epoch, chosen on the test set" if experiment.protocol.report == "best" else "last epoch"
    console.print(
        f"  Protocol {experiment.protocol.title} [{experiment.protocol.fingerprint}], {epoch}; ± is the standard "
        f"deviation over seeds {', '.join(map(str, experiment.seeds))}.",
        highlight=False,
        markup=False,
    )


def _scores(experiment: Experiment, title: str, lines: Sequence[Line]) -> Table:
    score = lines[0].score
    heading = f"{experiment.dataset.name}, IPC {experiment.ipc}, {title}"
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("method", overflow="fold")
    table.add_column("role")
    digits = decimals(lines[0].unit)
    arrow = "" if lines[0].better == "higher" else " (lower is better)"
    table.add_column(f"{'top-1' if score == 'top1' else score} {lines[0].unit}{arrow}".strip(), justify="right")
    with_best = any(line.best and line.best.mean != line.summary.mean for line in lines)
    if with_best:
        table.add_column("best epoch", justify="right")
    table.add_column("n", justify="right")
    table.add_column("labels")
    table.add_column("figure")
    for line in lines:
        best = [spread(line.best, digits) if line.best else ""] if with_best else []
        cells = [escape(line.row.label), line.row.role, spread(line.summary, digits), *best, str(line.summary.n)]
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
            f"{line.image_iterations:,}",
            duration(line.recover_seconds),
            size(line.image_bytes),
            size(line.label_bytes),
            f"{line.steps:,}",
            duration(line.train_seconds),
            style=ROLE_STYLE[line.row.role],
        )
    return table


def spread(summary: Summary, digits: int = 1) -> str:
    """`64.5 ± 1.6`, without a spread where there is one seed, and a dash where there is none."""
    if summary.n == 0:
        return "–"
    mean = f"{summary.mean:.{digits}f}"
    return mean if summary.n == 1 else f"{mean} ± {summary.std:.{digits}f}"
