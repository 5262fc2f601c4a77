"""What a worker's process answers: that it is ready, how far a piece is, what it notes, and what became of the piece."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from delt_host.basics import traces
from delt_host.basics.compute import own_process
from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.observer import Observer
from delt_host.spread.task import Description, Task
from delt_host.spread.worker import AnotherResult, Worker
from delt_host.store.entry import Name
from delt_host.store.made import Differences, made
from delt_host.store.store import Store

SAID_EVERY = 0.5  # s between two answers on how far a piece is

Tell = Callable[..., None]
"""Sends an answer, of the fields that it is given by name."""


class Telling(Observer):
    """Tells of notes and of how far a piece is; nothing of what every worker begins with."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.ready = False
        self.total = self.done = 0
        self.said = 0.0

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        self.total, self.done = total, 0
        yield

    def advance(self, done: int, terms: Mapping[str, float] | None = None) -> None:
        self.done += done
        if self.total and time.monotonic() > self.said + SAID_EVERY:
            self.said = time.monotonic()
            self.tell(share=min(self.done / self.total, 1.0))

    def note(self, message: str) -> None:
        if self.ready:
            self.tell(note=message)


class Used(Differences):
    """Leaves it to the run to tell of entries that were made otherwise."""

    def __init__(self, tell: Tell) -> None:
        super().__init__(lambda _text: None)
        self.tell = tell

    def look(self, name: Name, theirs: Mapping[str, Any]) -> None:
        if any(theirs.get(what, value) != value for what, value in made().items()):
            self.tell(used=name, made=dict(theirs))


def answer(asked: Callable[[], Mapping[str, Any]], tell: Tell) -> None:
    """Get ready for the run that is told of first, then do one piece after the other, as they are asked for, without an end."""
    observer, begin = Telling(tell), asked()
    if begin["debug"]:
        traces.show = lambda text: tell(trace=text)
    try:
        description = Description(**begin["description"])
        own_process(description.threads)
        store = Store(begin["store"], observer.note, begin["checkpoint_every"])
        store.differences = Used(tell)
        worker = Worker(description, store, observer=observer)
    except (InputError, RunError) as error:
        tell(refused=str(error))
        return
    observer.ready = True
    tell(ready=True)
    while True:
        tell(**_became(worker, Task.from_json(json.dumps(asked()))))


def _became(worker: Worker, task: Task) -> dict[str, Any]:
    try:
        worker.do(task)
    except AnotherResult as error:
        return {"left": str(error)}
    except RunError as error:
        return {"failed": str(error)}
    except Exception as error:  # for the user to change, or unforeseen: the run comes to it, and says so as it would
        return {"left": traces.told(error)}
    return {"done": True}
