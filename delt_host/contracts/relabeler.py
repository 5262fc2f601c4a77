"""Who says what students are to answer, and to what: a batch of views."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from delt_host.basics.accelerator import moved
from delt_host.basics.brief import Brief
from delt_host.contracts.component import Asking
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem


@dataclass(frozen=True, repr=False)
class Batch(Brief):
    """One training batch of a student: B views, what they were made of, and what they are to be answered with; all of it on
    the device."""

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

    def part(self, places: range) -> Batch:
        """Those of its views that are at these places, one after the other."""
        cut = slice(places.start, places.stop)
        part: Any = {name: tensor if tensor is None else tensor[cut] for name, tensor in vars(self).items()}
        return Batch(**part)

    def mixed(self, soft: Tensor) -> Tensor:
        """(B, C) float32: the images' labels, out of `soft` (N, C), one for each of the set, and their partners', by the share
        of the pixels."""
        return self._shared(soft[self.index].float(), soft[self.partner].float())

    def one_hot(self, classes: int) -> Tensor:
        """(B, C) float32: the images' classes and their partners', by the share of the pixels."""
        own, partner = (F.one_hot(each, classes).float() for each in (self.classes, self.partner_classes))
        return self._shared(own, partner)

    def _shared(self, own: Tensor, partner: Tensor) -> Tensor:
        share = self.share[:, None]
        return share * own + (1 - share) * partner

    def to(self, device: Any, **options: Any) -> Batch:
        """The batch with every tensor on a device, for loops of others; options are those of `torch.Tensor.to`."""
        there: Any = {name: t if t is None else t.to(device, **options) for name, t in vars(self).items()}
        return Batch(**there)

    def moved(self, device: str, *others: Tensor) -> tuple[Batch, list[Tensor]]:
        """The batch on a device, and what else is wanted there with it, in one copy."""
        own = {name: tensor for name, tensor in vars(self).items() if tensor is not None}
        there = moved(device, *own.values(), *others)
        return Batch(**dict(zip(own, there, strict=False))), there[len(own) :]


Answer = Callable[[Batch], "Tensor"]
"""The answers (B, C), float, to a batch of views, or of whole images, on the device where these are: no one waits for them."""


class Relabeler(Asking, Preparing):
    """Who says what students are to answer. Views, epochs, mixing, storing and replay are the host's (`Labels`)."""

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
        """`answers` (N, C) float32 as what is stored: tensors of N entries each."""
        return {self.kind: answers.half()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        """The answers (N, C) float32 of what `pack` gave; `stored` may hold other tensors beside. Another `pack` needs
        another."""
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
