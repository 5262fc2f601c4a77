"""``--workers N``: the pieces of a run by processes side by side on this machine, which share its store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from itertools import takewhile

from pydantic import Field

from delt_host.basics import traces
from delt_host.basics.errors import InputError
from delt_host.contracts.engine import Engine
from delt_host.contracts.observer import Work
from delt_host.spread.board import Board
from delt_host.spread.crew import Answer, Crew, Member
from delt_host.spread.task import Description, Task, tasks
from delt_host.stages.story import Comparison
from delt_host.store.entry import UNKEPT

STAGE = "spread"
DEATHS = 2  # of workers at one piece, after which nobody tries it again


class Workers(Engine):
    """Processes of this machine. Each holds the data and the teachers, and does a piece at a time."""

    count: int = Field(2, ge=1)
    """How many."""

    def check(self, device: str) -> None:
        if self.count > 1 and device != "cpu":
            raise InputError(
                f"--workers {self.count} shares out the processor, and processes side by side on {device} were never measured: "
                "leave --workers out, or say --device cpu"
            )

    def fill(self, comparison: Comparison, threads: int) -> None:
        host = comparison.host
        teachers = takewhile(lambda step: step.stage in ("squeeze", "check"), comparison.steps())
        if any(step.key.startswith(UNKEPT) for step in teachers):
            host.say(
                "the teacher is kept in this process alone, so that no worker has it: the run does all of its work itself"
            )
        elif len(found := tasks(comparison, here=True)) > 1:
            _Spread(comparison, found, threads, min(self.count, len(found))).run()


def crowded(workers: int, threads: int, cores: int) -> str:
    """A sentence where they have fewer processors than threads; else empty."""
    if workers * threads <= cores:
        return ""
    said = f"{workers} workers of {threads} thread{'s' * (threads > 1)} each share {cores} processors, which is slow"
    fewer = max(cores // workers, 1)
    return said + f"; --threads {fewer} takes fewer, for other last bits" * (fewer < threads)


class _Spread:
    """The pieces while workers do them."""

    def __init__(self, comparison: Comparison, found: list[Task], threads: int, count: int) -> None:
        self.host, self.count, self.board, self.pieces = comparison.host, count, Board(found), len(found)
        self.weights = {task.entry: round(task.passes) for task in found}
        self.told = dict.fromkeys(self.weights, 0)
        """How much of each piece's weight the observer has heard of."""
        self.deaths = dict.fromkeys(self.weights, 0)
        store = self.host.store
        self.crew = Crew(
            {
                "description": asdict(Description.of(comparison, threads)),
                "store": str(store.root),
                "checkpoint_every": store.checkpoint_every,
                "debug": traces.show is not None,
            }
        )
        if said := crowded(count, threads, os.cpu_count() or 1):
            self.host.say(said)

    def run(self) -> None:
        """Until every piece is done, has failed, or is left to the run."""
        self.detail = f"{self.pieces} pieces by {self.count} workers"
        self._expect()
        observer = self.host.observer
        with self.crew.at_work(self.count):
            answers = self.crew.answers()
            with observer.stage("start", f"{self.count} workers", 0, ""):  # which tells nothing of the pieces' pace
                for heard in answers:
                    self._hear(*heard)
                    if heard[0].ready:
                        break
            if not self.crew.members:
                return
            with observer.stage(STAGE, self.detail, sum(self.weights.values()), "images"):
                self._give_out()
                for heard in answers:
                    self._hear(*heard)
                    if not len(self.board):
                        break
                    self._give_out()

    def _give_out(self) -> None:
        for idle in self.crew.members:
            if idle.ready and idle.task is None and (task := self.board.take()):
                idle.task = task
                idle.send(asdict(task))

    def _hear(self, member: Member, answer: Answer | None) -> None:
        host, task = self.host, member.task
        match answer:
            case None:
                self._died(member)
            case {"ready": _}:
                member.ready = True
            case {"refused": why}:
                host.say(f"workers cannot begin, and the run does all of its work itself: {why}")
                self.crew.dismiss(member)
            case {"note": note}:
                host.say(note)
            case {"trace": text} if traces.show is not None:
                traces.show(text)
            case {"used": [stage, key], "made": made}:
                host.store.differences.look((stage, key), made)
            case {"share": share} if task is not None:
                self._advance(task, share)
            case {"done": _} if task is not None:
                self.board.done(task)
                self._over(member, [task])
            case {"failed": why} if task is not None:
                self._failed(member, task, why)
            case {"left": why} if task is not None:
                host.say(f"{task}: no worker can do it, and the run does it itself: {why}")
                self._over(member, self.board.drop(task))

    def _failed(self, member: Member, task: Task, why: str) -> None:
        """For good, and so has what needs it."""
        gone = list(self.board.drop(task))
        self.host.store.failed.update((each.entry, why) for each in gone)
        self._over(member, gone)

    def _died(self, member: Member) -> None:
        """What it was at is done again. Fewer go on, where memory may be short; but one."""
        task, ended, note = member.task, member.ended, self.host.observer.note
        if not member.ready:
            if member.process.returncode:
                note(f"a worker could not begin: {ended}")
            return
        if not self.crew.members:
            self.crew.start()
        if task is None:
            return
        self.deaths[task.entry] += 1
        if self.deaths[task.entry] == DEATHS:
            self._failed(member, task, f"{task}: {DEATHS} workers died at it, the last one {ended}; is memory short?")
            return
        self.board.put_back(task)
        left = len(self.crew.members)
        note(
            f"{task}: its worker was {ended}; it is done again, by the {f'{left} that are' if left > 1 else 'one that is'} left"
        )

    def _over(self, member: Member, tasks: Iterable[Task]) -> None:
        """These are no longer to be waited for."""
        member.task = None
        for task in tasks:
            self._advance(task, 1.0)
        self._expect()

    def _advance(self, task: Task, share: float) -> None:
        """So much of a piece is done; what was heard of it before a worker died is not heard of again."""
        new = int(share * self.weights[task.entry]) - self.told[task.entry]
        if new > 0:
            self.told[task.entry] += new
            self.host.observer.advance(new)

    def _expect(self) -> None:
        """Say where the run is."""
        done = self.pieces - len(self.board)
        work = Work(STAGE, self.detail, "", sum(self.weights.values()), f"{done} of {self.pieces} pieces")
        self.host.observer.expect([work])
