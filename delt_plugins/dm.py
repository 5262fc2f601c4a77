"""DM: distribution matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181), real against synthetic batches, no teacher.

It needs no BatchNorm statistics and no trained network: each iteration embeds a real and a synthetic batch with a network
of fresh random weights and compares the mean features of each class.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from delt_host import Match, Matcher, Method, Problem, Views, hookimpl, use
from delt_host.features import classifier
from delt_host.models import build_model
from delt_host.seeding import isolated_rng
from delt_host.statistics import recorded_inputs

WITHOUT_TEACHER = "convnet3"  # the network where neither an option nor a teacher says which


class DistributionMatching(Matcher):
    """``sum_c || mean of f(real batch of c) - mean of f(synthetic images of c) ||^2`` for a freshly drawn network f.

    f is everything before the classifier, in train mode; real and synthetic images pass it separately, all classes of
    a group at once, so that BatchNorm takes each side's own statistics.
    """

    source: ClassVar[str] = "DM, eq. 4-5 and main_DM.py (the branch for BatchNorm)"

    real_batch: int = Field(256, ge=1)
    """Real images of each class in an iteration, drawn without replacement."""
    model: str = ""
    """The network whose random weights embed the images; empty: the teacher's architecture, and
    `convnet3` in a run without a teacher."""

    def bind(self, problem: Problem) -> Match:
        architecture = self.model or (problem.teacher.architecture if problem.teachers else WITHOUT_TEACHER)
        members = [problem.data.train.of_class(label) for label in range(problem.num_classes)]

        def match(views: Views) -> dict[str, Tensor]:
            network, last = self._embedding(problem, architecture, views)
            distances = []
            parts = zip(views.images.chunk(views.groups), views.targets.chunk(views.groups), strict=True)
            for images, targets in parts:
                present, place = targets.unique(return_inverse=True)
                real, real_place = self._real(problem, views, members, present.tolist())
                with torch.no_grad():
                    wanted = class_means(_features(problem, network, last, real), real_place, len(present))
                given = class_means(_features(problem, network, last, images), place, len(present))
                distances.append((given - wanted).square().sum())
            return {"mean-features": torch.stack(distances)}

        return match

    def _embedding(self, problem: Problem, architecture: str, views: Views) -> tuple[nn.Module, nn.Module]:
        """A network with this iteration's random weights, and its classifier, whose input is the embedding."""
        seed = views.generator("dm", "weights").initial_seed()
        with isolated_rng(seed, "dm", architecture):
            network = build_model(architecture, problem.num_classes, problem.image_size, problem.models)
        last = classifier(network, architecture)
        return problem.compute.place(network).train().requires_grad_(False), last

    def _real(self, problem: Problem, views: Views, members: list[Tensor], present: list[int]) -> tuple[Tensor, Tensor]:
        """Real images (n, 3, S, S), normalised, and for each its place in `present`."""
        rng = views.generator("dm", "real")
        chosen = [members[c][torch.randperm(len(members[c]), generator=rng)[: self.real_batch]] for c in present]
        pixels = problem.data.train.read(torch.cat(chosen)).to(problem.compute.device)
        places = [torch.full((len(indices),), place) for place, indices in enumerate(chosen)]
        return problem.normalization.normalize(pixels), torch.cat(places).to(problem.compute.device)


def class_means(features: Tensor, place: Tensor, classes: int) -> Tensor:
    """(classes, D): the mean of the rows (n, D) of each class; every class has at least one."""
    membership = F.one_hot(place, classes).to(features.dtype)
    return membership.T @ features / membership.sum(dim=0)[:, None]


def _features(problem: Problem, network: nn.Module, last: nn.Module, images: Tensor) -> Tensor:
    with recorded_inputs([last]) as inputs, problem.compute.autocast():
        network(images.contiguous(memory_format=torch.channels_last))
    return inputs[0].float().flatten(1)


DM = Method(
    summary="real images moved until their mean features match the data's under random networks",
    source="Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023, arXiv 2110.04181",
    initializer=use("real"),
    # Published: SGD at rate 1 for 20,000 iterations with one augmentation drawn for both sides. The host's optimiser is
    # Adam, so rate and iterations are ours; without augmentation, as both sides would have to share it.
    scheduler=use(
        "constant", iterations=1000, learning_rate=0.02, crop="none", flip=False, order="class", group_size=10_000
    ),
    matcher=use("distribution"),
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"distribution": DistributionMatching}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"dm": DM}
