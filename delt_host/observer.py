"""Who is told how a run goes: the terminal, a log, a tracker of experiments, a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_host import traces
from delt_host.errors import InputError
from delt_host.guard import SHARED, Guarded
from delt_host.reader import ImageReader
from delt_host.results import Score

if TYPE_CHECKING:
    from delt_host.plugins import Provided


@dataclass(frozen=True)
class Work:
    """A stage that is still to come."""

    stage: str
    detail: str
    """As the observer will hear of it."""
    like: str
    """Stages of one name that are alike in this go at one pace."""
    passes: float
    """Images that go through a network, forward and back; 0 where nothing is left to do."""
    place: str
    """Where in the run it is: `row 3 of 8, seed 1 of 3`."""


class Observer:
    """Hears of every stage; this one says nothing. A plugin's is made with the run's folder, where it may write."""

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *error: object) -> None:
        """The run is over, well or not."""

    def expect(self, works: Sequence[Work]) -> None:
        """All that is to come, in its order; said again when more is known."""

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        """A stage that is about to run: `total` units of work."""
        yield

    def cached(self, name: str, detail: str) -> None:
        """A stage whose result was in the store."""

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        """`done` more units of the running stage, with its current loss terms."""

    def note(self, message: str) -> None:
        """A sentence that the user should read."""

    def scored(self, score: Score, images: ImageReader | None) -> None:
        """A row's scores under one set seed and evaluator, as results.json will hold them; or `failure`, why there are none.

        `images` reads the distilled set; None where there is none: the row failed, or is the ceiling.
        """


QUIET = Observer()


class Observers(Observer):
    """The terminal's observer and others by name. One of the others that fails is left out from then on, with a note."""

    def __init__(self, first: Observer, others: Mapping[str, Observer]) -> None:
        self.first, self.others = first, dict(others)
        self._said = set[str]()

    def __enter__(self) -> Observers:
        self.first.__enter__()
        self._tell("__enter__")
        return self

    def __exit__(self, *error: object) -> None:
        self._tell("__exit__", *error)
        self.first.__exit__(*error)

    def expect(self, works: Sequence[Work]) -> None:
        self.first.expect(works)
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
        self.first.cached(name, detail)
        self._tell("cached", name, detail)

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self.first.advance(done, terms)
        self._tell("advance", done, terms)

    def note(self, message: str) -> None:
        self.first.note(message)
        self._tell("note", message)

    def scored(self, score: Score, images: ImageReader | None) -> None:
        self.first.scored(score, images)
        self._tell("scored", score, images)

    def _tell(self, what: str, *arguments: Any) -> None:
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
