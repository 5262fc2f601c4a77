"""The five contracts, and the data that flows between them.

Images flow as float32 in the teacher's normalised space until recovery ends, and as uint8 from then on.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from delt_host.component import Asking, Component
from delt_host.errors import InputError
from delt_host.reader import ImageReader

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from delt_host.plan import Plan
    from delt_host.problem import Problem

STAGES = ("initializer", "scheduler", "matcher", "relabeler", "evaluator")


@dataclass(frozen=True)
class ImageSet:
    """Images on their way through the stages, in class order and, within a class, in the initializer's order."""

    images: Tensor
    """(N, 3, S, S) float32, normalised by the teacher's mean and std."""
    targets: Tensor
    """(N,) int64 class indices."""


@dataclass(frozen=True)
class Cost:
    """What recovering a distilled set took."""

    image_iterations: int = 0
    """By the plan: the sum over iterations of the number of images optimised."""
    multiply_adds: float = 0.0
    seconds: float = 0.0
    """Measured when it was computed."""
    peak_bytes: float = 0.0
    """The most memory in use meanwhile; NaN where the system does not tell."""


@dataclass(frozen=True)
class Distilled(ImageReader):
    """A distilled set: what recovery leaves and what students are trained on."""

    pixels: Tensor
    """(N, 3, S, S) uint8 RGB."""
    targets: Tensor
    """(N,) int64 class indices."""
    cost: Cost | None = None
    """What it took to make them, where that is known."""
    labels: Tensor | None = None
    """(U, C) float32 logits, one for each unit, where they were learned with the images."""
    learning_rate: Tensor | None = None
    """() float32: the rate that students are to take, where it was learned with the images."""

    def read(self, indices: Tensor) -> Tensor:
        return self.pixels[indices]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of images and targets."""
        content = hashlib.sha256(self.pixels.numpy().tobytes())
        content.update(self.targets.numpy().tobytes())
        return content.hexdigest()


class Initializer(Asking):
    """Makes the images that recovery starts from."""

    @abstractmethod
    def initialize(self, problem: Problem) -> ImageSet:
        """Exactly `problem.ipc` images of every class, in class order. Draw with ``problem.generator(...)``."""

    def passes(self, problem: Problem) -> float:
        """How many images go through the teacher meanwhile, for dry runs and the time left."""
        return 0.0


class Scheduler(Component):
    """Decides which images are optimised when."""

    @abstractmethod
    def plan(self, problem: Problem) -> Plan:
        """The plan for `problem.ipc` images of each class. Draws nothing and reads no images."""

    def stretched(self, share: float) -> Scheduler:
        """The same schedule at about `share` times its iterations, for ``--match``; InputError where it has no such thing."""
        raise InputError(f"scheduler {type(self).__name__} cannot be matched to a budget: it has no stretched()")


@dataclass(frozen=True)
class Views:
    """One iteration's augmented images, as a matcher sees them."""

    images: Tensor
    """(G * B, 3, S, S): G groups of B images each, one after another, normalised; gradients flow to the pixels."""
    targets: Tensor
    """(G * B,) int64."""
    groups: int
    """G. Batch statistics must be taken per group: they are what defines a group."""
    iteration: int
    """Counted from 0 over the whole plan of the group."""
    generator: Callable[..., torch.Generator]
    """``views.generator("real batch")``: a generator seeded by (seed, group, iteration, purpose)."""
    memory: dict[str, Tensor] = field(default_factory=dict)
    """What a matcher keeps from iteration to iteration, moving averages for instance: the host's checkpoints hold it."""


Match = Callable[[Views], Mapping[str, "Tensor"]]
"""Named loss terms, each of shape (G,): one value a group. Their sum is minimised, each is logged."""


class Matcher(Asking):
    """What synthetic images are made to match."""

    stackable: ClassVar[bool] = False
    """Whether it may be given several groups at once. Not for one that draws from ``views.generator``, which is of one
    group: what a group becomes must not depend on the groups beside it."""

    @abstractmethod
    def bind(self, problem: Problem) -> Match:
        """The loss of a group, or of a stack of groups. Called anew for each, and again where one goes on after a kill: what
        must last from iteration to iteration belongs into ``views.memory``."""


class LabelledViews(NamedTuple):
    """One training batch of a student."""

    images: Tensor
    """(B, 3, S, S) float32, normalised: the views."""
    targets: Tensor
    """(B, C): what each view should be answered with, as `Labels.kind` says."""
    classes: Tensor
    """(B,) int64: the class of the image that a view was made of, which is not that of a CutMix partner."""


class Labels(ABC):
    """Labels for a distilled set that replay the same augmented views in the same order every time.

    However many epochs there are, memory should hold no more than a few.
    """

    kind: Literal["logits", "probabilities"]
    """`logits`: the protocol's distillation loss applies; `probabilities`: cross-entropy against them."""
    size_bytes: int
    """What has to be stored or shipped beside the images: labels, or the teacher where it runs while training."""
    epochs: int | None = None
    """How many epochs have labels of their own; students go through them again and again. None: every epoch has."""

    @abstractmethod
    def epoch(self, number: int) -> Iterator[LabelledViews]:
        """The batches of epoch `number`, counted from 0."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to do
        """Make whatever is made once and kept, so that students need not wait for it. Nothing by default.

        Keep it with `Problem.remember`, in parts small enough for memory, and leave out what the store has.
        """

    def stored(self, number: int) -> Mapping[str, Tensor] | None:
        """Epoch `number` as it is kept: the views of `delt_host.replay.draw_epoch`, and answers that
        `delt_host.artifact.packing` reads. None: nothing is kept, and an export writes down what `epoch` gives.
        """
        return None


class Relabeler(Asking):
    """Gives every augmented view of the distilled images its label."""

    while_training: ClassVar[bool] = False
    """Whether the teacher answers while students train, and nothing is made before."""

    def passes(self, problem: Problem) -> float:
        """How many images go through each teacher while labels are made, for dry runs and the time left."""
        return float(problem.protocol.epochs * problem.num_images)

    @abstractmethod
    def size_bytes(self, problem: Problem) -> int:
        """What the labels will take, before they are made; the same as `Labels.size_bytes` afterwards."""

    @abstractmethod
    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        """Labels for the views that ``problem.protocol`` trains on. What takes time belongs into `Labels.prepare`."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found."""

    scores: dict[str, float]
    """Named scores; accuracies in percent."""
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON-able detail: per-class accuracy, epochs, optimizer steps, curves."""


class Evaluator(Asking):
    """Scores a distilled set."""

    headline: ClassVar[str]
    """The score that the comparison table shows."""
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which headline score is the better one."""
    unit: ClassVar[str] = "%"
    """The headline score's unit; empty for plain numbers, which are shown with three decimals."""

    @abstractmethod
    def evaluate(self, problem: Problem, distilled: Distilled, labels: Labels) -> Evaluation:
        """Scores; nothing here may choose anything by looking at test data."""

    @property
    def title(self) -> str:
        """The column's heading in the comparison table."""
        return type(self).__name__

    @property
    def trainings(self) -> dict[str, float]:
        """The networks that it trains, each with the trainings of the protocol that it takes at most.

        The host checks before anything runs that they take the images, and a dry run counts them. As it is: one of each that
        the options `model`, `network` and `models` name.
        """
        options = self.model_dump()
        one = [options[name] for name in ("model", "network") if name in options]
        return dict.fromkeys((*one, *options.get("models", ())), 1.0)


CONTRACTS: dict[str, type[Component]] = {
    "initializer": Initializer,
    "scheduler": Scheduler,
    "matcher": Matcher,
    "relabeler": Relabeler,
    "evaluator": Evaluator,
}
