"""Who is told how a run goes: the terminal, a log, a tracker of experiments, a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from delt_host.contracts.reader import ImageReader
from delt_host.contracts.results import Score


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
