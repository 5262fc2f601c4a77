"""Progress in a terminal as a bar and what is left of the run, elsewhere as a line for each stage, and a line a minute."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from delt_host import escapes
from delt_host.cli.outlook import Outlook, roughly
from delt_host.errors import InputError
from delt_host.observer import Observer, Work
from delt_host.units import duration

SHOWN_TERMS = 3
REDRAWS = 0.1  # s between two drawings of the bar
EVERY, EVERY_SET_BY = 60.0, "DELT_HOST_PROGRESS_SECONDS"
"""Seconds between two lines of a stage where there is no terminal, and the environment variable that says otherwise."""


def can_redraw(console: Console) -> bool:
    """Whether it is a terminal on which what was written can be written over; TERM=dumb is none."""
    return console.is_terminal and not console.is_dumb_terminal


def observer_for(console: Console, quiet: bool) -> Observer:
    """Bars in a terminal, a line for each stage elsewhere, nothing where it is to be quiet."""
    if quiet:
        return Observer()
    return RichObserver(console) if can_redraw(console) else LineObserver(console, seconds_between_lines())


def seconds_between_lines() -> float:
    """As the environment says. InputError for what is no time."""
    said = os.environ.get(EVERY_SET_BY, "") or str(EVERY)
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise InputError(f"{EVERY_SET_BY} must be a number of seconds above 0, not {said!r}")
    return seconds


class Ticker:
    """Calls `tick` every so many seconds, in a thread that ends with the process, from `start` to `stop`."""

    def __init__(self, seconds: float, tick: Callable[[], None]) -> None:
        self.seconds, self.tick = seconds, tick
        self.over: threading.Event | None = None

    def start(self) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._go, args=(self.over,), daemon=True, name="progress")
        self.thread.start()

    def stop(self) -> None:
        if self.over is not None:
            self.over.set()
            self.thread.join()
            self.over = None

    def _go(self, over: threading.Event) -> None:
        while not over.wait(self.seconds):
            self.tick()


class _Bar(Progress):
    """The running stage above its bar, loss terms and the run's outlook below: lines that fold, so that no width cuts them."""

    def __init__(self, console: Console, outlook: Outlook) -> None:
        columns = (
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.outlook = outlook
        super().__init__(*columns, console=console, transient=True, auto_refresh=False)

    def refresh(self) -> None:
        with self.console:  # drawn and written before anybody else writes
            super().refresh()

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
        self.ticker = Ticker(REDRAWS, self.progress.refresh)

    def __enter__(self) -> RichObserver:
        self.progress.start()
        self.ticker.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.ticker.stop()
        self.progress.stop()

    def expect(self, works: Sequence[Work]) -> None:
        self.outlook.expect(works)

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        outer = self.task, self.total
        description = f"[bold]{name}[/bold] {escape(escapes.plain(detail))}"
        self.task, self.total = self.progress.add_task(description, total=total or None, terms=""), total
        began = time.perf_counter()
        try:
            with self.outlook.running(name, detail):
                yield
        finally:
            with self.console:  # the bar and its line are exchanged at once
                self.progress.remove_task(self.task)
                self.task, self.total = outer
        work = f", {total:,} {unit}" if total else ""
        self.console.print(f"{description}  [dim]{duration(time.perf_counter() - began)}{work}[/dim]", highlight=False)

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self.console.print(f"[dim]{name} {escape(escapes.plain(detail))}  from the store[/dim]", highlight=False)

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        if self.task is not None:
            self.progress.update(self.task, advance=done)
            if terms:
                self.progress.update(self.task, terms=_shown(terms))
            if self.total:
                self.outlook.advance(done / self.total)

    def note(self, message: str) -> None:
        self.console.print(f"[yellow]note[/yellow] {escape(message)}", highlight=False)


@dataclass
class _Running:
    """A stage that runs, as lines tell of it."""

    name: str
    total: int
    began: float
    done: int = 0
    terms: Mapping[str, float] = field(default_factory=dict)

    def line(self, left: str) -> str:
        gone = time.perf_counter() - self.began
        share = min(self.done / self.total, 1.0) if self.total else 0.0
        parts = [f"{100 * share:.0f} %"] if self.total else []
        parts.append(f"{duration(gone)} so far")
        if 0 < share < 1:
            parts.append(f"{roughly(gone * (1 - share) / share)} left of it")
        if left:
            parts.append(left)
        return f"{self.name}: {', '.join(parts)}" + (f"; {_shown(self.terms)}" if self.terms else "")


class LineObserver(Observer):
    """A line for each row when it begins, for each stage when it ends, and now and then for one that takes long."""

    def __init__(self, console: Console, every: float = EVERY) -> None:
        """`every`: seconds between two lines of a running stage."""
        self.console = console
        self.outlook = Outlook()
        self.said = ""
        self.stages: list[_Running] = []
        self.ticker = Ticker(every, self._still)

    def expect(self, works: Sequence[Work]) -> None:
        self.outlook.expect(works)

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        running = _Running(f"{name} {detail}", total, time.perf_counter())
        self.ticker.stop()  # a stage is told of so many seconds after it, or one inside it, began
        self.stages.append(running)
        self.ticker.start()
        try:
            with self.outlook.running(name, detail):
                if self.outlook.place != self.said:
                    self.said = self.outlook.place
                    self._line(self.outlook.line())
                yield
        finally:
            self.ticker.stop()
            self.stages.pop()
            if self.stages:
                self.ticker.start()
        work = f", {total:,} {unit}" if total else ""
        terms = f"; {_shown(running.terms)}" if running.terms else ""
        self._line(f"{running.name}: {duration(time.perf_counter() - running.began)}{work}{terms}")

    def _still(self) -> None:
        """From the ticker's thread: the stage as it stands."""
        if self.stages:
            self._line(self.stages[-1].line(self.outlook.line() if self.outlook.now else ""))

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self._line(f"{name} {detail}: from the store")

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        if self.stages:
            running = self.stages[-1]
            running.done += done
            running.terms = dict(terms) if terms else running.terms
            if running.total:
                self.outlook.advance(done / running.total)

    def note(self, message: str) -> None:
        self._line(f"note: {message}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _shown(terms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in list(terms.items())[:SHOWN_TERMS])
