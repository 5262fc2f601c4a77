"""The comparison in the terminal: one table for each evaluator, and plain sentences under it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from delt_host.compare import Line, Summary
from delt_host.experiment import Experiment

ROLE_STYLE = {"method": "bold", "baseline": "", "control": "dim", "ceiling": "dim"}


def show(console: Console, experiment: Experiment, lines: Sequence[Line]) -> None:
    """Print all tables."""
    for title in dict.fromkeys(line.evaluator for line in lines):
        chosen = [line for line in lines if line.evaluator == title]
        console.print(_table(experiment, title, chosen))
        for line in chosen:
            for difference in line.differences:
                console.print(f"  {escape(line.row.label)} is {escape(difference.sentence)}.")
            for failure in line.failures:
                console.print(f"  [red]{escape(line.row.label)} failed:[/red] {escape(failure)}")
    console.print(
        f"  Protocol {experiment.protocol.title}, {experiment.protocol.fingerprint}; "
        f"{'best epoch on the test set' if experiment.protocol.report == 'best' else 'last epoch'}; "
        f"± is the standard deviation over seeds {', '.join(map(str, experiment.seeds))}.",
        highlight=False,
    )


def _table(experiment: Experiment, title: str, lines: Sequence[Line]) -> Table:
    score = lines[0].score
    table = Table(
        title=f"{experiment.dataset.name}, IPC {experiment.ipc}, student {title}", title_justify="left"
    )
    table.add_column("method", overflow="fold")
    table.add_column("role")
    table.add_column(f"{score} %" if score == "top1" else score, justify="right")
    with_best = any(line.best and line.best.mean != line.summary.mean for line in lines)
    if with_best:
        table.add_column("best epoch", justify="right")
    for heading in ("n", "image-its", "recover", "train", "images", "labels", "epochs", "steps"):
        table.add_column(heading, justify="right")
    table.add_column("figure")
    for line in lines:
        cells = [escape(line.row.label), line.row.role, spread(line.summary)]
        if with_best:
            cells.append(spread(line.best) if line.best else "")
        cells += [
            str(line.summary.n),
            f"{line.image_iterations:,}",
            duration(line.recover_seconds),
            duration(line.train_seconds),
            size(line.image_bytes),
            f"{size(line.label_bytes)} {line.labels}",
            str(line.epochs),
            f"{line.steps:,}",
            line.provenance,
        ]
        table.add_row(*cells, style=ROLE_STYLE[line.row.role])
    return table


def spread(summary: Summary) -> str:
    """`64.5 ± 1.6`, without a spread where there is one seed, and a dash where there is none."""
    if summary.n == 0:
        return "–"
    return f"{summary.mean:.1f}" if summary.n == 1 else f"{summary.mean:.1f} ± {summary.std:.1f}"


def size(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def duration(seconds: float) -> str:
    """`0 s`, `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
