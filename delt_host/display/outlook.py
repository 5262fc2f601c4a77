"""Where a run is and how long it will take: what is still to come, at the pace seen so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from delt_host.basics.units import roughly
from delt_host.contracts.observer import Work

Alike = tuple[str, ...]


class Outlook:
    """Told of every stage; says in a line where the run is and about how much time is left."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` is in seconds."""
        self.clock = clock
        self.ahead: list[Work] = []
        self.now: Work | None = None
        self.began = 0.0
        self.share = 0.0
        """How much of the running stage is done, in 0..1."""
        self.place = ""
        self.seconds: dict[Alike, float] = defaultdict(float)
        self.passes: dict[Alike, float] = defaultdict(float)
        """What stages have taken that have run, and their work."""

    def expect(self, works: Sequence[Work]) -> None:
        """All that is to come; where the first of it is the stage that runs, that is where the run is now."""
        self.ahead = list(works)
        if works and self.now is not None and (works[0].stage, works[0].detail) == (self.now.stage, self.now.detail):
            self.place = self.ahead.pop(0).place
        if not works:
            self.place = ""

    def reach(self, stage: str, detail: str) -> Work | None:
        """The stage as it was expected. What was expected before it will not come: its row failed."""
        for place, work in enumerate(self.ahead):
            if (work.stage, work.detail) == (stage, detail):
                del self.ahead[: place + 1]
                self.place = work.place
                return work
        return None

    @contextmanager
    def running(self, stage: str, detail: str) -> Iterator[None]:
        """A stage that runs inside; one that nobody expected changes nothing."""
        work = self.reach(stage, detail)
        if work is None:
            yield
            return
        self.now, self.began, self.share = work, self.clock(), 0.0
        try:
            yield
            for key in _alike(work):
                self.seconds[key] += self.clock() - self.began
                self.passes[key] += work.passes
        finally:
            self.now = None

    def advance(self, share: float) -> None:
        """So much more of the running stage is done."""
        self.share = min(self.share + share, 1.0)

    def seconds_left(self) -> float | None:
        """None as long as no pace was seen."""
        seconds, passes = defaultdict(float, self.seconds), defaultdict(float, self.passes)
        left = [(work, work.passes) for work in self.ahead]
        if (now := self.now) is not None:  # looked at once: lines are asked for by another thread
            left.append((now, now.passes * (1 - self.share)))
            for key in _alike(now) if self.share else ():
                seconds[key] += self.clock() - self.began
                passes[key] += now.passes * self.share
        if not passes[()]:
            return None
        total = 0.0
        for work, count in left:
            seen = next(key for key in _alike(work) if passes[key])
            total += count * seconds[seen] / passes[seen]
        return total

    def line(self) -> str:
        """`row 3 of 8, seed 1 of 3, about 4 min left`; empty before anything was expected."""
        seconds = self.seconds_left() if self.place else None
        return self.place if seconds is None else f"{self.place}, {roughly(seconds)} left"


def _alike(work: Work) -> tuple[Alike, ...]:
    """What goes at its pace, the likeliest first: stages alike, those of its name, all."""
    return (work.stage, work.like), (work.stage,), ()
