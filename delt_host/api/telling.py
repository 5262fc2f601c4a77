"""Who hears how a call goes: a notebook, a terminal or a log; and what is kept of a call that was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from delt_host.api.result import Result
from delt_host.basics import traces
from delt_host.contracts.observer import Observer
from delt_host.display import terminal
from delt_host.display.notebook import NotebookObserver, in_notebook
from delt_host.display.progress import observer_for
from delt_host.plugins.registry import Registry
from delt_host.runs import reports


class Kept:
    """What is finished of a call when it ends early."""

    def __init__(self) -> None:
        self.result: Result | None = None

    def __call__(self, result: Result, _whole: bool) -> None:
        self.result = result

    @property
    def made(self) -> Result:
        """KeyboardInterrupt where nothing is finished."""
        if self.result is None:
            raise KeyboardInterrupt
        return self.result

    @staticmethod
    def said(observer: Observer) -> Callable[[str, str], None]:
        """Notes what became of each run of a sweep."""
        return lambda name, failure: observer.note(f"{name}: {failure or 'finished'}")


def observer_of(quiet: bool, registry: Registry) -> Observer:
    """Progress as the caller can show it, told of what is wrong with plugins; nothing where it is to be quiet."""
    observer = NotebookObserver() if in_notebook() and not quiet else observer_for(terminal.errors(), quiet)
    for note in registry.notes():
        observer.note(note)
    return observer


@contextmanager
def debugging(wanted: bool) -> Iterator[None]:
    """Inside, tracebacks of plugins that fail are shown, if wanted."""
    before: Callable[[str], None] | None = traces.show
    traces.show = (lambda text: print(text, file=sys.stderr)) if wanted else before
    try:
        yield
    finally:
        traces.show = before


def reported(result: Result, registry: Registry, observer: Observer) -> Result:
    """With its reports, written; of a sweep, with those of each run."""
    if result.interrupted:
        return result
    if not result.swept:
        return replace(result, reports=dict(reports.write(registry, result.folder, observer.note)))
    return replace(result, runs={name: reported(run, registry, observer) for name, run in result.runs.items()})
