"""Which piece is next: of those whose needs are there, the one that most work waits for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from delt_host.spread.task import Task
from delt_host.store.entry import Name


class Board:
    """The pieces that are not done yet, of which some are taken."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """`tasks` come after those that they need."""
        self._open = {task.entry: task for task in tasks}
        self._taken = set[Name]()
        self._behind: dict[Name, float] = dict.fromkeys(self._open, 0.0)
        """The work that is left, at least, once a piece is begun: its own, and the longest chain of those that wait for it."""
        for task in reversed(tasks):
            self._behind[task.entry] += task.passes
            for need in task.needs:
                if need in self._open:
                    self._behind[need] = max(self._behind[need], self._behind[task.entry])

    def __len__(self) -> int:
        """How many pieces are not done, those that are taken among them."""
        return len(self._open)

    def take(self) -> Task | None:
        """The next piece; None where every other waits for one that is taken, or there is none."""
        ready = [
            task
            for entry, task in self._open.items()
            if entry not in self._taken and not any(need in self._open for need in task.needs)
        ]
        if not ready:
            return None
        task = max(ready, key=lambda each: self._behind[each.entry])
        self._taken.add(task.entry)
        return task

    def put_back(self, task: Task) -> None:
        """It was taken, and nobody does it."""
        self._taken.discard(task.entry)

    def done(self, task: Task) -> None:
        del self._open[task.entry]

    def drop(self, task: Task) -> Iterator[Task]:
        """It will not be done, nor what needs it: all of these, it first."""
        gone = self._open.pop(task.entry, None)
        if gone is not None:
            yield gone
            for other in [other for other in self._open.values() if task.entry in other.needs]:
                yield from self.drop(other)
