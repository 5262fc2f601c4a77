"""Several observers as one: the terminal's, and those of plugins, of which one that fails is left out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from delt_host.basics import traces
from delt_host.basics.errors import InputError
from delt_host.basics.guard import SHARED, Guarded
from delt_host.contracts.observer import Observer, Work
from delt_host.contracts.reader import ImageReader
from delt_host.contracts.results import Score
from delt_host.plugins.registry import Provided


class Observers(Observer):
    """The terminal's observer and others by name. One of the others that fails is left out from then on, with a note."""

    def __init__(self, first: Observer, others: Mapping[str, Observer]) -> None:
        self.first, self.others = first, dict(others)
        self._said = set[str]()

    def __enter__(self) -> Observers:
        self._tell("__enter__")
        return self

    def __exit__(self, *error: object) -> None:
        self._tell_others("__exit__", *error)
        self.first.__exit__(*error)

    def expect(self, works: Sequence[Work]) -> None:
        self._tell("expect", works)

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        entered: dict[str, Any] = {}
        for key in list(self.others):
            with self._guarded(key):
                context = self.others[key].stage(name, detail, total, unit)
                context.__enter__()
                entered[key] = context
        try:
            with self.first.stage(name, detail, total, unit):
                yield
        finally:
            error = sys.exc_info()
            for key, context in entered.items():
                if key in self.others:
                    with self._guarded(key):
                        context.__exit__(*error)

    def cached(self, name: str, detail: str) -> None:
        self._tell("cached", name, detail)

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self._tell("advance", done, terms)

    def note(self, message: str) -> None:
        self._tell("note", message)

    def scored(self, score: Score, images: ImageReader | None) -> None:
        self._tell("scored", score, images)

    def _tell(self, what: str, *arguments: Any) -> None:
        getattr(self.first, what)(*arguments)
        self._tell_others(what, *arguments)

    def _tell_others(self, what: str, *arguments: Any) -> None:
        for key in list(self.others):
            with self._guarded(key):
                getattr(self.others[key], what)(*arguments)

    @contextmanager
    def _guarded(self, key: str) -> Iterator[None]:
        try:
            with Guarded(lambda: f"observer {key}", self._say, SHARED):
                yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.others.pop(key, None)
            self.first.note(_failed(key, error))

    def _say(self, note: str) -> None:
        if note not in self._said:
            self._said.add(note)
            self.first.note(note)


def with_others(first: Observer, wanted: Mapping[str, Provided], folder: Path) -> Observer:
    """`first` and those wanted by name, made for a run's folder. InputError where one says what it is missing."""
    made: dict[str, Observer] = {}
    for name, provided in wanted.items():
        try:
            with Guarded(partial("observer {} of {}".format, name, provided.plugin), first.note, SHARED):
                made[name] = provided.thing(folder)
        except (InputError, KeyboardInterrupt):
            raise
        except BaseException as error:
            first.note(_failed(f"{name} of {provided.plugin}", error))
    return Observers(first, made) if made else first


def _failed(name: str, error: BaseException) -> str:
    traces.give(error)
    return f"observer {name} failed ({traces.told(error)}); the run goes on without it"
