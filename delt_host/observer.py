"""Who is told how a run goes: the terminal, a log, a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class Observer:
    """Hears of every stage; this one says nothing."""

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *error: object) -> None:
        """The run is over, well or not."""

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
