"""Batches of real training images, by class and over all, drawn from a generator, normalised and on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from delt_host.basics.accelerator import moved
from delt_host.contracts.matcher import Views
from delt_host.contracts.problem import Problem

RealBatch = tuple[Tensor, Tensor]
"""Images (n, 3, S, S) float32, normalised, and their classes (n,) int64."""


def by_class(views: Views) -> Iterator[tuple[int, slice | Tensor]]:
    """The classes of a step's images, in order, and where their images are: a slice where they lie together, as in sets that
    are in class order, which is a view and waits for nothing; else places (n,) int64."""
    known = views.targets if views.known_targets is None else views.known_targets
    for label in known.unique().tolist():
        places = torch.nonzero(known == label).flatten()
        first, last = int(places[0]), int(places[-1])
        yield label, slice(first, last + 1) if last - first + 1 == len(places) else places.to(views.targets.device)


class RealBatches:
    """The training set of a problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.train = problem, problem.data.train
        self._members: dict[int, Tensor] = {}

    def of_classes(self, labels: Sequence[int], each: int, rng: torch.Generator) -> RealBatch:
        """`each` images of every named class, one class after the other, without replacement; all of a smaller class."""
        return self.at(torch.cat([self._draw(self._of(label), each, rng) for label in labels]))

    def sizes(self, labels: Sequence[int], each: int) -> list[int]:
        """How many `of_classes` gives of every class."""
        return [min(len(self._of(label)), each) for label in labels]

    def of_all(self, count: int, rng: torch.Generator) -> RealBatch:
        """`count` images of any classes, without replacement; all where there are fewer."""
        return self.at(self._draw(torch.arange(len(self.train)), count, rng))

    def at(self, indices: Tensor) -> RealBatch:
        """The training images at `indices` (n,)."""
        device = self.problem.compute.device
        images, targets = moved(device, self.train.read(indices), self.train.targets[indices])
        return self.problem.normalization.normalize(images), targets

    def _of(self, label: int) -> Tensor:
        if label not in self._members:
            self._members[label] = self.train.of_class(label)
        return self._members[label]

    def _draw(self, members: Tensor, count: int, rng: torch.Generator) -> Tensor:
        return members[torch.randperm(len(members), generator=rng)[:count]]
