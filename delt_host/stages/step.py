"""A step: a piece of work whose result is an entry of the store. All who ask what a run does walk the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from delt_host.basics.compute import give_freed_memory_back
from delt_host.contracts.observer import Work
from delt_host.contracts.prepared import Passes
from delt_host.stages.host import Host
from delt_host.store import sealed
from delt_host.store.entry import Name
from delt_host.store.resume import Checkpoint
from delt_host.store.sealed import Damaged
from delt_host.store.store import Entry, Opened
from delt_host.store.store import Made as Made
from delt_host.store.tensor_file import Held

BESIDE = "beside"
"""The fact of an entry that names others which belong to it: whoever needs it elsewhere needs these."""
FORWARD_ALONE = 1 / 3  # of the work of a pass forward and back


@dataclass(frozen=True, eq=False)
class Step:
    """A piece of work, its result's name in the store, and what it takes. Two of one name are the same."""

    host: Host
    stage: str
    """What it is called wherever it is told of, and the folder of its entry: `recover`."""
    line: str
    """What it is done for, whatever the seed: a row's label, a teacher's name."""
    inputs: Mapping[str, Any]
    """What its key is made of."""
    make: Callable[[Checkpoint], Made]
    """The work itself; it reads what it needs from the store."""
    of: str = ""
    """The line with the seed; empty: the line. Neighbours of one stage and `of` are told of as one."""
    key: str = field(init=False)
    needs: tuple[Step, ...] = ()
    known: bool = True
    """Whether `key` is what the result will be found by. Not before there is a teacher, whose content is a part of it;
    until then equal keys mean the same work."""
    total: int = 0
    """Units of work that the observer is told of; 0: they are not counted."""
    unit: str = ""
    """Empty: too short to be told of."""
    cost: tuple[Passes, ...] = ()
    """What goes through which network."""
    like: str = ""
    """Steps of one stage that are alike in this go at one pace."""
    size_bytes: Callable[[], int] = lambda: 0
    """Of its entry in the store, about; asked by dry runs alone."""
    travels: bool = False
    """Whether an engine may give it to another machine."""
    place: str = ""
    """Where in the run it is: `row 3 of 8, seed 1 of 3`."""
    regime: str = ""
    """The name of the regime that it is of alone, if any: where it fails, the others' steps go on."""
    student: int = 0
    """Whose it is, where it is a student's alone."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", self.of or self.line)
        object.__setattr__(self, "key", self.host.store.key(self.stage, self.inputs))

    @property
    def name(self) -> Name:
        return self.stage, self.key

    @property
    def passes(self) -> float:
        """Images that go through a network, forward and back."""
        return sum(each.images * (FORWARD_ALONE if each.way == "forward" else 1.0) for each in self.cost)

    @property
    def kept(self) -> bool:
        """Whether its result is in the store, by its files being there."""
        return self.known and self.host.store.holds(*self.name)

    @property
    def names(self) -> tuple[Name, ...]:
        """Its entry in the store, and those that belong to it; that alone where it is not there yet, or damaged."""
        if not self.kept:
            return (self.name,)
        with suppress(Damaged, OSError):
            beside = sealed.facts(self.host.store.place(*self.name))["facts"].get(BESIDE, [])
            found = [(stage, key) for stage, key in beside if self.host.store.holds(stage, key)]
            return (self.name, *found)
        return (self.name,)

    @property
    def seconds(self) -> float | None:
        """That the result took when it was made, by whichever run; None where it is not kept."""
        return self.host.store.seconds(*self.name)

    def entry(self) -> Entry:
        """Its result: from the store, or, where it is missing or damaged, made now."""
        if entry := self.host.store.read(self.stage, self.inputs):
            return entry
        with _told([self]):
            return self._made()

    def opened(self) -> Opened:
        """The same, whose tensors are read by rows when they are asked for."""
        if opened := self.host.store.open(self.stage, self.inputs):
            return opened
        entry = self.entry()
        return self.host.store.open(self.stage, self.inputs) or Opened(Held(entry.tensors), entry.facts)

    def _made(self) -> Entry:
        try:
            return self.host.store.resume(self.stage, self.inputs, self.make, self.of)
        finally:
            give_freed_memory_back()


def seconds_of(steps: Iterable[Step]) -> float | None:
    """What they took together; None where one of them is not kept."""
    found = [step.seconds for step in steps]
    return None if None in found else sum(filter(None, found))


def bunches(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """The steps in order, those together that are told of as one."""
    for _, alike in groupby(steps, lambda step: (step.stage, step.of)):
        yield list(alike)


def do(bunch: list[Step]) -> None:
    """Make what the store has not; the observer is told of it as one stage, and once of what several rows share."""
    missing = [step for step in bunch if not step.kept]
    first, host = bunch[0], bunch[0].host
    if not missing and first.unit and (first.stage, first.of) not in host.told:
        host.observer.cached(first.stage, first.of)
    host.told.add((first.stage, first.of))
    with _told(missing):
        for step in missing:
            step._made()


def _told(steps: list[Step]) -> AbstractContextManager[None]:
    if not steps or not steps[0].unit:
        return nullcontext()
    first = steps[0]
    return first.host.observer.stage(first.stage, first.of, sum(step.total for step in steps), first.unit)


def expected(steps: Iterable[Step]) -> list[Work]:
    """What is still to be done, in order, for an observer; nothing in steps that are kept or come a second time."""
    works, counted = [], set[Name]()
    for bunch in bunches(steps):
        left = [step for step in bunch if step.name not in counted and not step.kept]
        counted |= {step.name for step in bunch}
        first = bunch[0]
        if first.unit:
            works.append(Work(first.stage, first.of, first.like, sum(step.passes for step in left), first.place))
    return works
