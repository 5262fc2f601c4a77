"""Where recovery starts: images that are made or chosen, as uint8 or as float32 in the teacher's normalised space."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.contracts.component import Asking
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem


@dataclass(frozen=True, repr=False)
class Start(Brief):
    """Where recovery starts from: `problem.count` images of each of the classes that were asked for, class by class in that
    order and, within a class, in the initializer's."""

    images: Tensor
    """(N, 3, S, S) RGB: uint8, which real images are kept as, or float32 normalised by the teacher's mean and std."""
    labels: Tensor | None = None
    """(units of these classes, C) float32 logits, where labels are learned and do not start from the classes."""
    learning_rate: Tensor | None = None
    """() float32: the students' rate to start from, where it is learned."""


class Initializer(Asking, Preparing):
    """Makes the images that recovery starts from."""

    dtype: ClassVar[torch.dtype] = torch.uint8
    """Of the images that it makes, uint8 or float32: what dry runs count the bytes of."""

    @abstractmethod
    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        """Exactly `problem.count` images of each of these classes, in this order.

        Draw with ``problem.generator("what for", label)``: what a class gets must not depend on which others are asked for.
        """

    def passes(self, problem: Problem) -> float:
        """How many images go through the teacher meanwhile, for dry runs and the time left."""
        return 0.0
