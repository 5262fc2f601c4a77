"""The five contracts, and the data that flows between them.

Images flow as float32 in the teacher's normalised space until recovery ends, and as uint8 from then on.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from delt_host.component import Component
from delt_host.errors import InputError
from delt_host.reader import ImageReader

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from delt_host.labels import Labels
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


class Initializer(Component):
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


class Matcher(Component):
    """What synthetic images are made to match."""

    stackable: ClassVar[bool] = False
    """Whether it may be given several groups at once. Not for one that draws from ``views.generator``, which is of one
    group: what a group becomes must not depend on the groups beside it."""

    @abstractmethod
    def bind(self, problem: Problem) -> Match:
        """The loss of a group, or of a stack of groups. Called anew for each, and again where one goes on after a kill: what
        must last from iteration to iteration belongs into ``views.memory``."""


@dataclass(frozen=True)
class Batch:
    """One training batch of a student: B views, what they were made of, and what they are to be answered with."""

    images: Tensor
    """(B, 3, S, S) float32, normalised, mixed, augmented: the views."""
    index: Tensor
    """(B,) int64: the image's place in the set."""
    classes: Tensor
    """(B,) int64: the class of the image itself."""
    partner: Tensor
    """(B,) int64: the place of the image mixed in; the image's own where nothing is."""
    partner_classes: Tensor
    """(B,) int64: its class."""
    share: Tensor
    """(B,) float32: the image's own share of the mixture, 0 to 1; 1 where nothing is mixed."""
    answers: Tensor | None = None
    """(B, C): what each view should be answered with, as `Labels.kind` says; None until somebody has been asked."""
    weight: Tensor | None = None
    """(B,): what each image counts in the loss, 1 on average over the set; None: all alike."""

    def to(self, device: Any, **options: Any) -> Batch:
        """The batch with every tensor on a device; options are those of `torch.Tensor.to`."""
        moved: Any = {name: t if t is None else t.to(device, **options) for name, t in vars(self).items()}
        return Batch(**moved)


Answer = Callable[[Batch], "Tensor"]
"""The answers (B, C), float, to a batch of views, or of whole images."""


class Relabeler(Component):
    """Who says what students are to answer. Views, epochs, mixing, storing and replay are the host's: `delt_host.labels`."""

    asks: ClassVar[Literal["class", "image", "view"]] = "view"
    """What one answer is given for. `class`: the one-hot class, and nobody is asked. `image`: each whole image once, and the
    host mixes the answers as it mixes images; where a set brings labels that were learned with its images, the host gives
    those and asks nobody. `view`: every view that students see."""
    stores: ClassVar[bool] = True
    """Whether answers are given once and kept. Otherwise they are asked for at every training step."""
    kind: ClassVar[Literal["logits", "probabilities"]] = "logits"
    """`logits`: the protocol's distillation loss applies; `probabilities`: cross-entropy against them."""

    def bind(self, problem: Problem) -> Answer:
        """What answers. Called once for each `Labels`, so that a network of its own may be kept in the closure; never where it
        asks for the class."""
        raise NotImplementedError(f"relabeler {type(self).__name__} has no bind(problem), which gives its answers")

    def epochs(self, epochs: int) -> int:
        """How many of so many epochs have labels of their own; students go through them again and again. At least 1."""
        return epochs

    def pack(self, answers: Tensor) -> dict[str, Tensor]:
        """Answers (N, C) float32 as what is stored: tensors of N entries each."""
        return {self.kind: answers.half()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        """The answers (N, C) float32 of what `pack` gave; `stored` may hold other tensors beside. Another `pack` needs another;
        `delt_host.artifact.packing` has one for the forms that exports keep."""
        return stored[self.kind].float()

    def label_bytes(self, classes: int) -> int:
        """What a packed answer takes."""
        return 2 * classes

    def passes(self, problem: Problem) -> float:
        """How many images go through each teacher while labels are made, for dry runs and the time left."""
        if self.asks == "class" or not self.stores:
            return 0.0
        count = problem.num_images
        every = problem.protocol.epochs_of(problem, count)
        return float(count * (1 if self.asks == "image" else self.epochs(every)))


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found."""

    scores: dict[str, float]
    """Named scores; accuracies in percent."""
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON-able detail: per-class accuracy, epochs, optimizer steps, curves."""


class Evaluator(Component):
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
