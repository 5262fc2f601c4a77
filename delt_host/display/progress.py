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
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from delt_host.basics import escapes
from delt_host.basics.errors import InputError
from delt_host.basics.file_words import short_name
from delt_host.basics.units import duration, roughly
from delt_host.contracts.observer import Observer, Work
from delt_host.display.outlook import Outlook

SHOWN_TERMS = 3
REDRAWS = 0.1  # s between two drawings of the bar
SAID_EVERY, EVERY_SET_BY = 60.0, "DELT_HOST_PROGRESS_SECONDS"
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
    said = os.environ.get(EVERY_SET_BY, "") or str(SAID_EVERY)
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise InputError(f"{EVERY_SET_BY} must be a number of seconds above 0, not {said!r}")
    return seconds


class Ticker(threading.Timer):
    """Calls `tick` every so many seconds, in a thread that ends with the process, from now on until it is stopped."""

    def __init__(self, seconds: float, tick: Callable[[], None]) -> None:
        super().__init__(seconds, tick)
        self.daemon = True
        self.start()

    def run(self) -> None:
        while not self.finished.wait(self.interval):
            self.function()

    def stop(self) -> None:
        self.cancel()
        self.join()


@dataclass
class Running:
    """A stage that runs."""

    title: str
    total: int
    began: float = field(default_factory=time.perf_counter)
    done: int = 0
    terms: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def took(self, unit: str) -> str:
        return duration(self.seconds) + (f", {self.total:,} {unit}" if self.total else "")

    def shown_terms(self) -> str:
        return ", ".join(f"{name} {value:.3g}" for name, value in list(self.terms.items())[:SHOWN_TERMS])


class Stages(Observer):
    """The stages that run, one inside the other, and the outlook on those to come, for who shows them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.outlook = Outlook()
        self.stages: list[Running] = []

    def expect(self, works: Sequence[Work]) -> None:
        self.outlook.expect(works)

    @contextmanager
    def running(self, name: str, detail: str, total: int) -> Iterator[Running]:
        running = Running(f"{name} {short_name(detail)}", total)
        self.stages.append(running)
        try:
            with self.outlook.running(name, detail):
                yield running
        finally:
            self.stages.pop()

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        if self.stages:
            running = self.stages[-1]
            running.done += done
            running.terms = dict(terms) if terms else running.terms
            if running.total:
                self.outlook.advance(done / running.total)


class _Bar(Progress):
    """The running stage above its bar, loss terms and the run's outlook below: lines that fold, so that no width cuts them."""

    def __init__(self, observer: Stages, *columns: ProgressColumn) -> None:
        self.observer = observer
        super().__init__(*columns, console=observer.console, transient=True, auto_refresh=False)

    def refresh(self) -> None:
        with self.console:  # drawn and written before anybody else writes
            super().refresh()

    def get_renderables(self) -> Iterable[RenderableType]:
        for running, task in list(zip(self.observer.stages, self.tasks, strict=False))[-1:]:
            yield Text.from_markup(task.description)
            yield self.make_tasks_table([task])
            if running.terms:
                yield Text(f"  {running.shown_terms()}", style="dim")
        if line := self.observer.outlook.line():
            yield Text(line, style="bold")


class RichObserver(Stages):
    """A bar for the running stage; finished stages stay as lines above it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.bar = _Bar(
            self,
            SpinnerColumn("line" if console.options.ascii_only else "dots"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )

    def __enter__(self) -> RichObserver:
        self.bar.start()
        self.ticker = Ticker(REDRAWS, self.bar.refresh)
        return self

    def __exit__(self, *error: object) -> None:
        self.ticker.stop()
        self.bar.stop()

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        title = f"[bold]{name}[/bold] {escape(escapes.plain(short_name(detail)))}"
        task = self.bar.add_task(title, total=total or None)
        try:
            with self.running(name, detail, total) as running:
                yield
        finally:
            with self.console:  # the bar and its line are exchanged at once
                self.bar.remove_task(task)
        self._print(f"{title}  [dim]{running.took(unit)}[/dim]")

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self._print(f"[dim]{name} {escape(escapes.plain(short_name(detail)))}  from the store[/dim]")

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        super().advance(done, terms)
        if self.stages:
            self.bar.update(self.bar.task_ids[-1], advance=done)

    def note(self, message: str) -> None:
        self._print(f"[yellow]note[/yellow] {escape(message)}")

    def _print(self, markup: str) -> None:
        self.console.print(markup, highlight=False)


class LineObserver(Stages):
    """A line for each row when it begins, for each stage when it ends, and now and then for one that takes long."""

    def __init__(self, console: Console, every: float = SAID_EVERY) -> None:
        """`every`: seconds between two lines of a running stage."""
        super().__init__(console)
        self.every, self.said = every, ""
        self.ticker: Ticker | None = None

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        try:
            with self.running(name, detail, total) as running:
                self._wait()
                if self.outlook.place != self.said:
                    self.said = self.outlook.place
                    self._line(self.outlook.line())
                yield
        finally:
            self._wait()
        self._told(running, running.took(unit))

    def _wait(self) -> None:
        """A stage is told of so many seconds after it, or one inside it, began or ended."""
        if self.ticker is not None:
            self.ticker.stop()
        self.ticker = Ticker(self.every, self._still) if self.stages else None

    def _still(self) -> None:
        """From the ticker's thread: the stage as it stands."""
        for running in self.stages[-1:]:
            share = min(running.done / running.total, 1.0) if running.total else 0.0
            parts = [f"{100 * share:.0f} %"] if running.total else []
            parts.append(f"{duration(running.seconds)} so far")
            if 0 < share < 1:
                parts.append(f"{roughly(running.seconds * (1 - share) / share)} left of it")
            if self.outlook.now and (left := self.outlook.line()):
                parts.append(left)
            self._told(running, ", ".join(parts))

    def _told(self, running: Running, what: str) -> None:
        self._line(f"{running.title}: {what}" + (f"; {running.shown_terms()}" if running.terms else ""))

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self._line(f"{name} {short_name(detail)}: from the store")

    def note(self, message: str) -> None:
        self._line(f"note: {message}")

    def _line(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
