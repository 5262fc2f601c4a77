"""Progress in a terminal as bars with time left, elsewhere as one line for each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from delt_host.observer import Observer
from delt_host.report.table import duration

SHOWN_TERMS = 3


def observer_for(console: Console, quiet: bool) -> Observer:
    """Bars in a terminal, a line for each stage elsewhere, nothing where it is to be quiet."""
    if quiet:
        return Observer()
    return RichObserver(console) if console.is_terminal else LineObserver(console)


class RichObserver(Observer):
    """A bar for the running stage; finished stages stay as lines above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[terms]}"),
            console=console,
            transient=True,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> RichObserver:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        outer = self.task
        description = f"[bold]{name}[/bold] {escape(detail)}"
        self.task = self.progress.add_task(description, total=total or None, terms="")
        began = time.perf_counter()
        try:
            yield
        finally:
            self.progress.remove_task(self.task)
            self.task = outer
        work = f", {total:,} {unit}" if total else ""
        self.console.print(f"{description}  [dim]{duration(time.perf_counter() - began)}{work}[/dim]", highlight=False)

    def cached(self, name: str, detail: str) -> None:
        self.console.print(f"[dim]{name} {escape(detail)}  from the store[/dim]", highlight=False)

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        if self.task is not None:
            self.progress.update(self.task, advance=done)
            if terms:
                self.progress.update(self.task, terms=_shown(terms))

    def note(self, message: str) -> None:
        self.console.print(f"[yellow]note[/yellow] {escape(message)}", highlight=False)


class LineObserver(Observer):
    """One line when a stage begins to run, and its time when it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.terms: Mapping[str, float] = {}

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        began = time.perf_counter()
        self.terms = {}
        yield
        work = f", {total:,} {unit}" if total else ""
        terms = f"; {_shown(self.terms)}" if self.terms else ""
        self._line(f"{name} {detail}: {duration(time.perf_counter() - began)}{work}{terms}")

    def cached(self, name: str, detail: str) -> None:
        self._line(f"{name} {detail}: from the store")

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self.terms = terms or self.terms

    def note(self, message: str) -> None:
        self._line(f"note: {message}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shown(terms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])
