"""What synthetic images are made to match: the loss of one step, in named terms."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import SerializeAsAny, field_validator
from torch import Tensor, nn

from delt_host.basics.brief import Brief
from delt_host.contracts.component import Asking
from delt_host.contracts.network_source import Current, Frozen, NetworkSource
from delt_host.contracts.plan import Phase
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem


@dataclass(frozen=True, repr=False)
class Views(Brief):
    """One step's augmented images, as a matcher sees them."""

    images: Tensor
    """(G * B, 3, S, S): G groups of B images each, one after another, normalised; gradients flow to what is optimised. Where a
    form decodes a unit to several images, all of them."""
    targets: Tensor
    """(G * B,) int64."""
    groups: int
    """G. Batch statistics must be taken per group: they are what defines a group."""
    iteration: int
    """Counted from 0 over the whole plan of the group."""
    generator: Callable[..., torch.Generator]
    """``views.generator("real batch")``: a generator seeded by (seed, group, iteration, turn, purpose)."""
    memory: dict[str, Tensor]
    """What a matcher keeps from step to step, moving averages for instance: the host's checkpoints hold it."""
    index: Tensor
    """(G * B,) int64: the images' places in the whole set."""
    network: nn.Module
    """This iteration's, from the matcher's `networks`."""
    current: Current
    """The group's set as it stands now: all its units, decoded, detached and not augmented."""
    augment: Callable[[Tensor], Tensor]
    """This step's own draw of the group, once more, on real images (n, 3, S, S). RunError where there is no one draw: each
    image has its own, or several groups share the pass."""
    labels: Tensor | None = None
    """(G * B, C): the images' labels, as logits, with gradient where they are learned; None: the set has none."""
    learning_rate: Tensor | None = None
    """(): the students' rate, with gradient where it is learned; None: the set has none."""
    turn: int = 0
    """Counted from 0 within the iteration; above 0 only where a phase steps class by class."""
    known_targets: Tensor | None = None
    """`targets` on the processor, where they can be looked at without waiting for the device; None: they are nowhere else."""


Match = Callable[[Views], Mapping[str, "Tensor"]]
"""Named loss terms, each of shape (G,): one value a group. Their sum is minimised, each is logged.

What it computes may depend on `views`, and on what `bind` found, alone: on CUDA a step that asks for no more than images,
classes and network is recorded and repeated, so that Python runs in the first steps only."""


class Matcher(Asking, Preparing):
    """What synthetic images are made to match."""

    stackable: ClassVar[bool] = False
    """Whether it may be given several groups at once. Not for one that draws from ``views.generator`` or augments real images,
    which is of one group: what a group becomes must not depend on the groups beside it."""
    of_teachers: ClassVar[bool] = False
    """Whether it asks the teachers themselves and not `views.network`, so that there is no choice of `networks`."""

    networks: SerializeAsAny[NetworkSource] = Frozen()
    """Where `views.network` comes from: a name, or a table of the name and its options."""
    balance: Literal["given", "first step"] = "given"
    """`first step`: the host weighs terms so that in the first iteration each has as long a gradient to the images as the first
    term, and keeps these weights; where it has several turns, each of them is weighed by all so far. The matcher's own weights
    then say nothing of one term beside another. `given`: terms count as the matcher gives them."""

    @field_validator("networks")
    @classmethod
    def _teachers_are_frozen(cls, given: NetworkSource) -> NetworkSource:
        if cls.of_teachers and not isinstance(given, Frozen):
            raise ValueError(f"{cls.__name__} asks the teachers themselves, which are 'frozen'; leave the option out")
        return given

    @abstractmethod
    def bind(self, problem: Problem) -> Match:
        """The loss of a group, or of a stack of groups. Called anew for each, and again where one goes on after a kill: what
        must last from iteration to iteration belongs into ``views.memory``."""

    def passes(self, problem: Problem, phase: Phase) -> float:
        """How many images, real ones included, go through a network and back in a phase of a group: what a dry run and the time
        left count. What takes longer counts as several, one that goes forward alone as a third."""
        return float(phase.active * phase.iterations * problem.form.cells)

    def at_once(self, problem: Problem, phase: Phase) -> float:
        """How many images have what they left in a network kept at once: what a dry run tells the memory by."""
        return self.passes(problem, phase) / phase.iterations
