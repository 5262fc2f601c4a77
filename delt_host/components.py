"""The five contracts, and the data that flows between them.

Images start as uint8 or as float32 in the teacher's normalised space, are optimised there, and lie in files from then on
(`sets.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import SerializeAsAny, field_validator

from delt_host.component import Asking, Component
from delt_host.errors import InputError
from delt_host.network_source import Current, Frozen, NetworkSource
from delt_host.sets import Distilled as Distilled

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from delt_host.plan import Phase, Plan
    from delt_host.problem import Problem
    from delt_host.results import Results, Score
    from delt_host.taught import Taught

STAGES = ("initializer", "scheduler", "matcher", "relabeler", "evaluator")


@dataclass(frozen=True)
class Start:
    """Where recovery starts from: `problem.count` images of each of the classes that were asked for, class by class in that
    order and, within a class, in the initializer's."""

    images: Tensor
    """(N, 3, S, S) RGB: uint8, which real images are kept as, or float32 normalised by the teacher's mean and std."""
    labels: Tensor | None = None
    """(units of these classes, C) float32 logits, where labels are learned and do not start from the classes."""
    learning_rate: Tensor | None = None
    """() float32: the students' rate to start from, where it is learned."""


@dataclass(frozen=True)
class Cost:
    """What recovering a distilled set took."""

    image_iterations: int = 0
    """By the plan: the sum over iterations of the number of units optimised."""
    multiply_adds: float = 0.0
    seconds: float = 0.0
    """Measured when it was computed."""
    peak_bytes: float = 0.0
    """The most memory in use meanwhile; NaN where the system does not tell."""


class Initializer(Asking):
    """Makes the images that recovery starts from."""

    @abstractmethod
    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        """Exactly `problem.count` images of each of these classes, in this order.

        Draw with ``problem.generator("what for", label)``: what a class gets must not depend on which others are asked for.
        """

    def passes(self, problem: Problem) -> float:
        """How many images go through the teacher meanwhile, for dry runs and the time left."""
        return 0.0


class Scheduler(Component):
    """Decides which images are optimised when."""

    @abstractmethod
    def plan(self, problem: Problem) -> Plan:
        """The plan for `problem.units` units of each class. Draws nothing and reads no images."""

    def stretched(self, share: float) -> Scheduler:
        """The same schedule at about `share` times its iterations, for ``--match``; InputError where it has no such thing."""
        raise InputError(f"scheduler {type(self).__name__} cannot be matched to a budget: it has no stretched()")


@dataclass(frozen=True)
class Views:
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


Match = Callable[[Views], Mapping[str, "Tensor"]]
"""Named loss terms, each of shape (G,): one value a group. Their sum is minimised, each is logged."""


class Matcher(Asking):
    """What synthetic images are made to match."""

    stackable: ClassVar[bool] = False
    """Whether it may be given several groups at once. Not for one that draws from ``views.generator`` or augments real images,
    which is of one group: what a group becomes must not depend on the groups beside it."""
    of_teachers: ClassVar[bool] = False
    """Whether it asks the teachers themselves and not `views.network`, so that there is no choice of `networks`."""

    networks: SerializeAsAny[NetworkSource] = Frozen()
    """Where `views.network` comes from: a name, or a table of the name and its options."""
    balance: Literal["given", "first step"] = "given"
    """`first step`: the host weighs terms so that at the first step each has as long a gradient to the images as the first
    term, and keeps these weights; `given`: terms count as the matcher gives them."""

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
        """How many images, real ones included, go through a network in a phase of a group: what a dry run and the time left
        count."""
        return float(phase.active * phase.iterations * problem.form.cells)


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


class Relabeler(Asking):
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


class Evaluator(Asking):
    """Scores a distilled set."""

    per: ClassVar[Literal["set", "regime", "table"]] = "regime"
    """How often it is asked: once a set, whose labels it does not see; once a set, regime and student; or once, when all
    other scores are there."""
    headline: ClassVar[str]
    """The score that the comparison table shows."""
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which headline score is the better one."""
    unit: ClassVar[str] = "%"
    """The headline score's unit; empty for plain numbers, which are shown with three decimals."""

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        """Scores of a set; nothing here may choose anything by looking at test data.

        `taught` has the regime's labels for the student's views, and labels other sets alike; None where it is per set.
        """
        raise NotImplementedError

    def derive(self, results: Results) -> Sequence[Score]:
        """Scores out of scores, for an evaluator that is per table: arithmetic, without images or networks.

        Each is of a `row`, `set` and, where it means one, `regime`, with this evaluator's title. InputError where scores are
        missing that a run could have had.
        """
        raise NotImplementedError

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
