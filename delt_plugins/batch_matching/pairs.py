"""CIM: each image beside the real one that it began as, in the features of a trained network (ECCV 2026)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import Initializer, Match, Matcher, Phase, Prepared, Problem, Start, Views
from delt_host.toolbox import RealBatches, by_class, features
from delt_plugins.controls.real import too_few_images
from delt_plugins.delt.true_class import true_class_scores

CANDIDATES = 300
"""Random real images of a class, of which the surest are anchors (CIM's settings)."""


def anchors_of(problem: Problem, label: int, scores: Tensor) -> Tensor:
    """Places (`problem.count`,) of a class's anchors in the training set: of `CANDIDATES` random images those of which the
    teacher is surest, the surest first. `scores` (N_train,) are its true-class scores. InputError for too small a class."""
    members = problem.data.train.of_class(label)
    if len(members) < problem.count:
        raise too_few_images(problem.class_names[label], len(members), problem.count)
    rng = problem.generator("anchors", label)
    drawn = members[torch.randperm(len(members), generator=rng)[: max(CANDIDATES, problem.count)]]
    return drawn[scores[drawn].argsort(descending=True, stable=True)[: problem.count]]


class Anchors(Initializer):
    """Real images of which the teacher is surest among 300 random ones of their class: CIM's start."""

    source: ClassVar[str] = "CIM, its choice of real anchors"

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [true_class_scores(problem)]

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        scores = problem.prepared(true_class_scores(problem))["scores"]
        return Start(problem.data.train.read(torch.cat([anchors_of(problem, label, scores) for label in classes])))


class Pairs(Matcher):
    """``sum over images of the mean absolute difference`` of the teacher's features of an image and of its anchor, the real
    image whose place it has among the class's: give it the start `anchors`."""

    source: ClassVar[str] = "CIM, its matching of pairs"

    weight: float = Field(1.0, gt=0)
    """Of the distance."""

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [*super().prepares(problem), true_class_scores(problem)]

    def bind(self, problem: Problem) -> Match:
        scores = problem.prepared(true_class_scores(problem))["scores"]
        batches, anchors = RealBatches(problem), dict[int, Tensor]()

        def match(views: Views) -> dict[str, Tensor]:
            classes, places = list(by_class(views)), list[Tensor]()
            for label, own in classes:
                if label not in anchors:
                    anchors[label] = anchors_of(problem, label, scores)
                # all active images of a class, in their order, as a schedule of the whole set has them
                count = own.stop - own.start if isinstance(own, slice) else len(own)
                places.append(anchors[label][:count])
            real, _ = batches.at(torch.cat(places))
            with torch.no_grad():
                wanted = features(problem, views.network, views.augment(real))
            found = features(problem, views.network, views.images)
            given = torch.cat([found[own] for _, own in classes])
            return {"pairs": self.weight * (given - wanted).abs().mean(dim=1).sum().view(1)}

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        return super().passes(problem, phase) * 4 / 3
