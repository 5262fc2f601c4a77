"""Diversity: how much the images of a class differ from each other, and how much of the real class they cover."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Problem, Taught, hookimpl
from delt_host.toolbox import FeatureSpace


class Diversity(Evaluator):
    """Similarity to the class centroid, and coverage of the real class, in a feature space.

    `similarity` is the mean over classes of ``mean_i cos(f_i, mean_j f_j)``; 1 where all images of a class are the same.
    `coverage` is the share of real images in whose neighbourhood (out to their `neighbours`-th nearest real image) lies
    a distilled image of the class, in percent.
    """

    source: ClassVar[str] = "DELT, Figure 2 (similarity); Naeem et al., ICML 2020, eq. 6 (coverage)"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"
    headline: ClassVar[str] = "similarity"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = ""

    space: Literal["teacher", "imagenet"] = "teacher"
    """Whose features: the teacher's, or those of a ResNet-18 pretrained on ImageNet-1K, as the paper's figure."""
    real_images: int = Field(1000, ge=2)
    """Real images of each class that coverage is measured on."""
    neighbours: int = Field(5, ge=1)
    """k: a real image's neighbourhood reaches to its k-th nearest real image."""

    @property
    def title(self) -> str:
        return f"diversity in {self.space} features"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught | None) -> Evaluation:
        space = FeatureSpace(problem, self.space)
        features = space.of_split(distilled, torch.arange(len(distilled)))
        similarity, covered = {}, {}
        for label in distilled.targets.unique().tolist():
            name, own = problem.class_names[label], features[distilled.targets == label]
            similarity[name] = float(F.cosine_similarity(own, own.mean(dim=0)[None]).mean())
            members = problem.data.train.of_class(label)
            chosen = torch.randperm(len(members), generator=problem.generator("diversity", label))[: self.real_images]
            real = space.of_split(problem.data.train, members[chosen])
            covered[name] = 100 * coverage(real, own, self.neighbours)
        mean = {"similarity": similarity, "coverage": covered}
        scores = {name: sum(values.values()) / len(values) for name, values in mean.items()}
        return Evaluation(scores, {f"{name}_by_class": values for name, values in mean.items()})


def coverage(real: Tensor, synthetic: Tensor, neighbours: int) -> float:
    """The share of `real` (n, D) in whose k-nearest-neighbour ball lies one of `synthetic` (m, D)."""
    nearest = min(neighbours, len(real) - 1)
    if nearest == 0:
        return float(len(synthetic) > 0)
    # The nearest real image of each is itself, at distance 0.
    radius = torch.cdist(real, real).kthvalue(nearest + 1, dim=1).values
    return float((torch.cdist(real, synthetic).amin(dim=1) <= radius).float().mean())


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"diversity": Diversity}
