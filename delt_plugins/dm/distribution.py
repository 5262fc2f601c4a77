"""DM's matcher: real against synthetic batches, no teacher (Zhao and Bilen, WACV 2023, arXiv 2110.04181).

It needs no BatchNorm statistics and no trained network: each iteration embeds a real and a synthetic batch with a network
of fresh random weights and compares the mean features of each class.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny
from torch import Tensor

from delt_host import Match, Matcher, NetworkSource, Phase, Problem, Views
from delt_host.toolbox import RealBatches, features
from delt_plugins.sources.fresh import Fresh


class DistributionMatching(Matcher):
    """``sum_c || mean of f(real batch of c) - mean of f(synthetic images of c) ||^2`` for a freshly drawn network f.

    f is everything before the classifier, in train mode; real and synthetic images pass it separately, all classes of
    a step at once, so that BatchNorm takes each side's own statistics. What the plan draws for a group is drawn for both sides.
    """

    source: ClassVar[str] = "DM, eq. 4-5 and main_DM.py (the branch for BatchNorm)"

    networks: SerializeAsAny[NetworkSource] = Fresh()
    """Where f comes from."""
    real_batch: int = Field(256, ge=1)
    """Real images of each class in an iteration, drawn without replacement."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)

        @cache
        def on_device(labels: tuple[int, ...]) -> Tensor:
            return torch.tensor(labels, device=problem.compute.device)

        def match(views: Views) -> dict[str, Tensor]:
            known = views.targets if views.known_targets is None else views.known_targets
            labels = known.unique().tolist()
            present = on_device(tuple(labels))
            place = torch.searchsorted(present, views.targets)
            real, classes = batches.of_classes(labels, self.real_batch, views.generator("dm", "real"))
            real_place = torch.searchsorted(present, classes)
            with torch.no_grad():
                wanted = class_means(features(problem, views.network, views.augment(real)), real_place, len(present))
            given = class_means(features(problem, views.network, views.images), place, len(present))
            return {"mean-features": (given - wanted).square().sum().view(1)}

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        """Through real images nothing goes back: a third of a pass each."""
        return super().passes(problem, phase) + phase.iterations * real_images(problem, self.real_batch) / 3


def real_images(problem: Problem, each: int) -> int:
    """How many `RealBatches.of_classes` gives of all classes: `each`, or all of a smaller class."""
    return int(problem.data.train.targets.bincount().clamp(max=each).sum())


def class_means(features: Tensor, place: Tensor, classes: int) -> Tensor:
    """(classes, D): the mean of the rows (n, D) of each class; every class has at least one."""
    membership = F.one_hot(place, classes).to(features.dtype)
    return membership.T @ features / membership.sum(dim=0)[:, None]
