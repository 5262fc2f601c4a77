"""DM: distribution matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181), real against synthetic batches, no teacher.

It needs no BatchNorm statistics and no trained network: each iteration embeds a real and a synthetic batch with a network
of fresh random weights and compares the mean features of each class.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny
from torch import Tensor

from delt_host import Match, Matcher, Method, NetworkSource, Phase, Problem, Views, hookimpl, use
from delt_host.toolbox import RealBatches, features
from delt_plugins.networks import Fresh


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

        def match(views: Views) -> dict[str, Tensor]:
            present, place = views.targets.unique(return_inverse=True)
            real, classes = batches.of_classes(present.tolist(), self.real_batch, views.generator("dm", "real"))
            real_place = torch.searchsorted(present, classes)
            with torch.no_grad():
                wanted = class_means(features(problem, views.network, views.augment(real)), real_place, len(present))
            given = class_means(features(problem, views.network, views.images), place, len(present))
            return {"mean-features": (given - wanted).square().sum().view(1)}

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        return super().passes(problem, phase) + phase.iterations * problem.num_classes * self.real_batch


def class_means(features: Tensor, place: Tensor, classes: int) -> Tensor:
    """(classes, D): the mean of the rows (n, D) of each class; every class has at least one."""
    membership = F.one_hot(place, classes).to(features.dtype)
    return membership.T @ features / membership.sum(dim=0)[:, None]


DM = Method(
    summary="real images moved until their mean features match the data's under random networks",
    source="Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023, arXiv 2110.04181",
    initializer=use("real"),
    # Published: SGD at rate 1 for 20,000 iterations, with `scheduler.siamese`. Adam, rate and iterations are ours, without
    # augmentation.
    scheduler=use(
        "constant", iterations=1000, learning_rate=0.02, crop="none", flip=False, order="class", group_size=10_000
    ),
    matcher=use("distribution"),
    regime="hard",
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"distribution": DistributionMatching}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"dm": DM}
