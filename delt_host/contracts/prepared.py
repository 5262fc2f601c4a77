"""What a component prepares before its stage: rankings, statistics of layers, trained references; kept and shared by rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from torch import Tensor

from delt_host.basics.errors import RunError
from delt_host.contracts.component import Component
from delt_host.store.code_identity import code_of
from delt_host.store.resume import Checkpoint


class Passes(NamedTuple):
    """Images that go through a network: what a step costs, before it is done."""

    network: str
    """A model's name."""
    way: Literal["forward", "pixels", "training"]
    """Forward alone; forward and back to the pixels; forward and back to the weights."""
    images: float
    """How many."""
    at_once: float = 128
    """In one pass, about, by which the memory that it takes is told."""


@dataclass(frozen=True)
class Prepared:
    """Tensors that are made once for the data, the teachers that the component is shown, the precision and `inputs`.

    A component declares them in `Component.prepares`, so that they are steps of the run, with progress, cost and checkpoints,
    and reads them with `Problem.prepared`. The code of `make` counts, and that of every component whose method it is or that
    it holds on to; options that it reads must be named in `inputs`.
    """

    name: str
    """What it is called in progress and dry run: `true-class-scores`."""
    make: Callable[[Checkpoint], Mapping[str, Tensor]]
    """The work. It tells its progress with `Problem.advance` and may save what it has so far in the checkpoint, from which it
    then goes on."""
    cost: tuple[Passes, ...] = ()
    """What goes through networks meanwhile, for dry runs and the time left."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able: whatever else the tensors depend on. With a `seed` there is one for each seed, with a
    `student` too for each student."""
    total: int = 0
    """The units of work that `make` tells of; 0: the images of `cost`."""
    unit: str = "images"
    """What `total` counts, in progress."""
    size_bytes: Callable[[], int] = lambda: 0
    """Of the tensors, about; asked by dry runs alone."""

    @property
    def identity(self) -> dict[str, Any]:
        """What it is to the store, beside the problem's part."""
        owners = [type(each) for each in _held(self.make) if isinstance(each, Component)]
        return {"name": self.name, "code": code_of(self.make, *owners), "inputs": dict(self.inputs)}

    def made(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """The work done; RunError where it gives something else than named tensors."""
        tensors = self.make(checkpoint)
        if not isinstance(tensors, Mapping) or not all(isinstance(each, Tensor) for each in tensors.values()):
            given = (
                {name: type(each).__name__ for name, each in tensors.items()}
                if isinstance(tensors, Mapping)
                else tensors
            )
            raise RunError(f"what it prepares as {self.name!r} must be a dict of names to tensors, not {given!r}")
        return dict(tensors)


def _held(work: Any) -> list[Any]:
    """What a function is bound to or was closed over."""
    if isinstance(work, partial):
        return [*_held(work.func), *work.args, *work.keywords.values()]
    held = [getattr(work, "__self__", None)]
    for cell in getattr(work, "__closure__", None) or ():
        with suppress(ValueError):  # a name that has no value yet
            held.append(cell.cell_contents)
    return held
