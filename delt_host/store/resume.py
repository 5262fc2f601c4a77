"""Checkpoints of an unfinished stage: after a kill it goes on where the last one was written, to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from delt_host.basics.errors import reason
from delt_host.store import sealed
from delt_host.store.entry import digest

EVERY = 30.0  # seconds between checkpoints: what a kill costs at most
SHARE = 0.02  # of the time, at most, that goes into writing them
PART_LENGTH = 8  # hexadecimal digits, after a dot


def _unheard(_message: str) -> None:
    """Nobody hears of it; a lambda could not be sent to another process."""


class Checkpoint:
    """One file that is replaced as a whole; a damaged one counts as none. Only safetensors and JSON are ever read."""

    def __init__(
        self,
        path: Path | None,
        every: float = EVERY,
        warn: Callable[[str], None] = _unheard,
        like: Path | None = None,
    ) -> None:
        """`path` None: nothing is kept. `every` is in seconds; 0: whenever asked. `like`: a folder whose permissions it has."""
        self.path, self.every, self.warn, self.like = path, every, warn, like
        self.began = self.last = time.monotonic()
        self._spent = 0.0
        self._wait = every
        self._failed = ""
        self._parts: dict[str, Checkpoint] = {}

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of one piece of the work, by a name among the pieces, for work that does one after the other and is
        done when all are: each goes on, or is finished, by itself. They are cleared with this one, which keeps nothing beside
        them."""
        if name not in self._parts:
            place = None if self.path is None else self.path.with_name(f"{self.path.name}.{digest(name)[:PART_LENGTH]}")
            self._parts[name] = Checkpoint(place, self.every, self.warn, self.like)
        return self._parts[name]

    @property
    def keeps(self) -> bool:
        """Whether what is saved lies anywhere."""
        return self.path is not None

    @property
    def spent(self) -> float:
        """Seconds that went into the checkpoint that was loaded, or into those of its parts."""
        return self._spent + sum(part.spent for part in self._parts.values())

    @property
    def due(self) -> bool:
        """Whether it is time to write one; later than `every` where writing takes long."""
        return self.path is not None and time.monotonic() - self.last >= self._wait

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts as they were saved, or None. RunError for one that cannot be read now: it may be hours of work."""
        if self.path is None:
            return None
        try:
            tensors, facts = sealed.read(self.path)
            self._spent = float(facts.pop("spent", 0.0))
        except FileNotFoundError:
            return None
        except sealed.Damaged as error:
            self.warn(f"the checkpoint {self.path} is damaged ({error}); its stage starts anew")
            return None
        return tensors, facts

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write one now. A disk that is full costs a warning, not the run."""
        began = time.monotonic()
        self.last = began
        if self.path is None:
            return
        try:
            sealed.write(self.path, tensors, {**facts, "spent": self._spent + began - self.began}, self.like)
        except OSError as error:
            if (said := reason(error)) != self._failed:
                self.warn(f"no checkpoint could be written to {self.path}: {said}")
            self._failed = said
        self.last = time.monotonic()
        self._wait = max(self.every, (self.last - began) / SHARE) if self.every else 0.0

    def clear(self) -> None:
        """The stage is finished."""
        if self.path is None:
            return
        parts = self.path.parent.glob(f"{self.path.name}.*")  # also those that nobody asked for this time
        for each in (self.path, *parts):
            with suppress(OSError):  # another user's in a folder where one may remove one's own alone
                each.unlink(missing_ok=True)
