"""Progress in a notebook: one piece of output that is written over, with what runs, what is left and all notes."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from delt_host.basics.units import duration
from delt_host.display.progress import Stages

REDRAWN = 0.25  # s between two drawings


def in_notebook() -> bool:
    """Whether the caller is a notebook's kernel, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


class NotebookObserver(Stages):
    """The running stage with its bar; afterwards how many stages there were, and how long they took. Notes stay."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True))
        self.notes: list[str] = []
        self.done = self.kept = 0
        self.began, self.drawn, self.over = time.perf_counter(), 0.0, False
        self.place: Any = None

    def __enter__(self) -> NotebookObserver:
        self.over = False
        self._draw()
        return self

    def __exit__(self, *error: object) -> None:
        self.stages.clear()
        self.over = True
        self._draw()

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        with self.running(name, detail, total):
            self._draw()
            yield
        self.done += 1

    def cached(self, name: str, detail: str) -> None:
        self.outlook.reach(name, detail)
        self.kept += 1

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        super().advance(done, terms)
        if time.perf_counter() - self.drawn > REDRAWN:
            self._draw()

    def note(self, message: str) -> None:
        if message not in self.notes:
            self.notes.append(message)
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        self.drawn = time.perf_counter()
        drawn = HTML("".join(self._lines()))
        if self.place is None:
            self.place = display(drawn, display_id=True)
        else:
            self.place.update(drawn)

    def _lines(self) -> Iterator[str]:
        for note in self.notes:
            yield f"<div>note: {html.escape(note)}</div>"
        for running in self.stages[-1:]:
            share = f' value="{running.done}" max="{running.total}"' if running.total else ""
            terms = f" · {html.escape(running.shown_terms())}" if running.terms else ""
            yield f"<div>{html.escape(running.title)} <progress{share}></progress> {duration(running.seconds)}{terms}</div>"
        if self.over:
            kept = f", {self.kept} more from the store" if self.kept else ""
            yield f"<div>{self.done} step{'s' * (self.done != 1)} in {duration(time.perf_counter() - self.began)}{kept}</div>"
        elif line := self.outlook.line():
            yield f"<div><b>{html.escape(line)}</b></div>"
