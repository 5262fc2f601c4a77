"""Progress in a terminal as a bar and what is left of the run, elsewhere as one line for each stage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from delt_host.cli.outlook import Outlook
from delt_host.observer import Observer, Work
from delt_host.units import duration

SHOWN_TERMS = 3


def can_redraw(console: Console) -> bool:
    """Whether it is a terminal on which what was written can be written over; TERM=dumb is none."""
    return console.is_terminal and not console.is_dumb_terminal


def observer_for(console: Console, quiet: bool) -> Observer:
    """Bars in a terminal, a line for each stage elsewhere, nothing where it is to be quiet."""
    if quiet:
        return Observer()
    return RichObserver(console) if can_redraw(console) else LineObserver(console)


class _Bar(Progress):
    """The running stage above its bar, loss terms and the run's outlook below: lines that fold, so that no width cuts them."""

    def __init__(self, console: Console, outlook: Outlook) -> None:
        columns = (
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.outlook = outlook
        super().__init__(*columns, console=console, transient=True)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.tasks:
            task = self.tasks[-1]
            yield Text.from_markup(task.description)
            yield self.make_tasks_table([task])
            if task.fields["terms"]:
                yield Text(f"  {task.fields['terms']}", style="dim")
        if line := self.outlook.line():
            yield Text(line, style="bold")


class RichObserver(Observer):
    """A bar for the running stage; finished stages stay as lines above it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.outlook = Outlook()
        self.progress = _Bar(console, self.outlook)
        self.task: TaskID | None = None
        self.total = 0

    def __enter__(self) -> RichObserver:
        self.progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.progress.stop()

    def expect(self, works: Sequence[Work]) -> None:
        self.outlook.expect(works)

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        outer = self.task, self.total
        description = f"[bold]{name}[/bold] {escape(detail)}"
        self.task, self.total = self.progress.add_task(description, total=total or None, terms=""), total
        began = time.perf_counter()
        try:
            with self.outlook.running(name, detail):
                yield
        finally:
            self.progress.remove_task(self.task)
            self.task, self.total = outer
        work = f", {total:,} {unit}" if total else ""
        self.console.print(f"{description}  [dim]{duration(time.perf_counter() - began)}{work}[/dim]", highlight=False)

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self.console.print(f"[dim]{name} {escape(detail)}  from the store[/dim]", highlight=False)

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        if self.task is not None:
            self.progress.update(self.task, advance=done)
            if terms:
                self.progress.update(self.task, terms=_shown(terms))
            if self.total:
                self.outlook.advance(done / self.total)

    def note(self, message: str) -> None:
        self.console.print(f"[yellow]note[/yellow] {escape(message)}", highlight=False)


class LineObserver(Observer):
    """One line for each stage when it ends, and one for each row when it begins."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.outlook = Outlook()
        self.said = ""
        self.terms: Mapping[str, float] = {}

    def expect(self, works: Sequence[Work]) -> None:
        self.outlook.expect(works)

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        began = time.perf_counter()
        self.terms = {}
        with self.outlook.running(name, detail):
            if self.outlook.place != self.said:
                self.said = self.outlook.place
                self._line(self.outlook.line())
            yield
        work = f", {total:,} {unit}" if total else ""
        terms = f"; {_shown(self.terms)}" if self.terms else ""
        self._line(f"{name} {detail}: {duration(time.perf_counter() - began)}{work}{terms}")

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self._line(f"{name} {detail}: from the store")

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self.terms = terms or self.terms

    def note(self, message: str) -> None:
        self._line(f"note: {message}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shown(terms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])
