"""Mean features of networks that were trained, with a term for classes: IDM's and DANCE's matcher.

Zhao et al.: Improved Distribution Matching, CVPR 2023 (arXiv 2307.09742), section 3; Zhang et al.: DANCE, IJCAI 2024 (arXiv
2406.01063), section 4.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor

from delt_host import Match, NetworkSource, Phase, Problem, Views
from delt_host.toolbox import RealBatches, by_class
from delt_plugins.batch_matching.classified import classification, classifier_of, features_and_logits
from delt_plugins.dm.distribution import DistributionMatching
from delt_plugins.sources.trained import Interpolated, Pool


class ClassifiedMeans(DistributionMatching):
    """DM's distance of mean features, and the cross-entropy of the synthetic images with their classes."""

    source: ClassVar[str] = "IDM, eq. 4 to 6; DANCE, eq. 5 to 8"

    networks: SerializeAsAny[NetworkSource] = Pool(size=100, max_age=100, trained_on="real", steps=10)
    """Where f comes from."""
    classify: float = Field(0.5, ge=0)
    """The weight of the cross-entropy, which is summed over classes."""
    weighted_by: Literal["accuracy", "one"] = "accuracy"
    """`accuracy`: the weight times the share of this step's real images that f tells right (IDM); `one`: as it is (DANCE)."""

    def bind(self, problem: Problem) -> Match:
        batches, classifier = RealBatches(problem), classifier_of(problem, self.networks)

        def match(views: Views) -> dict[str, Tensor]:
            present = list(by_class(views))
            each = [label for label, _ in present]
            real, classes = batches.of_classes(each, self.real_batch, views.generator("real"))
            real = views.augment(real)
            with torch.no_grad():
                theirs, answers = features_and_logits(problem, views.network, real)
            given, told = features_and_logits(problem, views.network, views.images)
            distances = []
            for (_, own), wanted in zip(present, theirs.split(batches.sizes(each, self.real_batch)), strict=True):
                distances.append((given[own].mean(dim=0) - wanted.mean(dim=0)).square().sum())
            terms = {"mean-features": torch.stack(distances).sum().view(1)}
            if self.classify:
                right = (answers.argmax(dim=1) == classes).float().mean()
                weight = self.classify * (right if self.weighted_by == "accuracy" else torch.ones_like(right))
                terms["classification"] = weight * classification(problem, classifier(views), views, told, len(present))
            return terms

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        more = isinstance(self.networks, Interpolated) and self.classify > 0
        return super().passes(problem, phase) + more * phase.active * phase.iterations * problem.form.cells
