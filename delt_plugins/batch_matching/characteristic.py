"""NCFM's matcher: the characteristic functions of features, real and synthetic.

Wang et al.: Dataset Distillation with Neural Characteristic Function, CVPR 2025 (arXiv 2502.20653).
"""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny
from torch import Tensor

from delt_host import Match, Matcher, NetworkSource, Phase, Problem, Views
from delt_host.toolbox import RealBatches, by_class, features, moved
from delt_plugins.batch_matching.classified import classification, classifier_of, features_and_logits
from delt_plugins.dm.distribution import real_images
from delt_plugins.sources.trained import Interpolated

SMALL = 1e-12  # below a root, whose slope is infinite at 0


class CharacteristicFunctions(Matcher):
    """The distance of the characteristic functions of unit-length features, at frequencies drawn from a normal distribution,
    and the cross-entropy of the synthetic images with their classes."""

    source: ClassVar[str] = (
        "NCFM, eq. 4 to 8, with frequencies that nobody learns, as its settings for CIFAR-10 have it"
    )

    networks: SerializeAsAny[NetworkSource] = Interpolated(experts=20, epochs=60)
    """Where the features come from."""
    real_batch: int = Field(1024, ge=1)
    """Real images of each class in an iteration, drawn without replacement."""
    frequencies: int = Field(4096, ge=1)
    """Drawn anew in each iteration, the same for all classes."""
    weight: float = Field(300.0, gt=0)
    """Of the distance."""
    amplitude: float = Field(0.5, ge=0, le=1)
    """The share of the difference of amplitudes (diversity); the rest is of phases (realism)."""
    classify: float = Field(1.0, ge=0)
    """The weight of the cross-entropy, which is summed over classes."""

    def bind(self, problem: Problem) -> Match:
        batches, classifier = RealBatches(problem), classifier_of(problem, self.networks)

        @lru_cache(maxsize=1)  # of the iteration: all its turns have the same
        def drawn_frequencies(iteration: int, width: int) -> Tensor:
            rng = problem.generator("frequencies", iteration)
            return moved(problem.compute.device, torch.randn(self.frequencies, width, generator=rng))[0]

        def match(views: Views) -> dict[str, Tensor]:
            distances, classes = [], list(by_class(views))
            labels = [label for label, _ in classes]
            real, _ = batches.of_classes(labels, self.real_batch, views.generator("real"))
            with torch.no_grad():
                real = F.normalize(features(problem, views.network, views.augment(real)), dim=1)
            given, told = features_and_logits(problem, views.network, views.images)
            given = F.normalize(given, dim=1)
            at = drawn_frequencies(views.iteration, given.shape[1])
            for (_, own), theirs in zip(classes, real.split(batches.sizes(labels, self.real_batch)), strict=True):
                distances.append(characteristic_distance(theirs @ at.T, given[own] @ at.T, self.amplitude))
            terms = {"characteristic": self.weight * torch.stack(distances).sum().view(1)}
            if self.classify:
                terms["classification"] = self.classify * classification(
                    problem, classifier(views), views, told, len(classes)
                )
            return terms

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        another = isinstance(self.networks, Interpolated) and self.classify > 0
        synthetic = super().passes(problem, phase) * (1 + another)
        return synthetic + phase.iterations * real_images(problem, self.real_batch) / 3


def characteristic_distance(real: Tensor, given: Tensor, amplitude: float = 0.5) -> Tensor:
    """(): the mean over frequencies of ``sqrt(a (|p| - |q|)² + (1 - a) 2 (|p| |q| - Re p q*))``, where p and q are the means of
    ``exp(i ·)`` of the products of features and frequencies `real` (n, T) and `given` (m, T).

    >>> characteristic_distance(torch.zeros(4, 3), torch.zeros(2, 3)).item() < 1e-5
    True
    """
    real_cos, real_sin = real.cos().mean(dim=0), real.sin().mean(dim=0)
    own_cos, own_sin = given.cos().mean(dim=0), given.sin().mean(dim=0)
    # 2 (|p| |q| - Re p q*) = |p - q|² - (|p| - |q|)², which is no difference of numbers that are nearly equal
    apart = (1 - amplitude) * ((real_cos - own_cos).square() + (real_sin - own_sin).square())
    if amplitude != 0.5:
        theirs, own = ((c.square() + s.square() + SMALL).sqrt() for c, s in ((real_cos, real_sin), (own_cos, own_sin)))
        apart = apart + (2 * amplitude - 1) * (theirs - own).square()
    return (apart.clamp_min(0) + SMALL).sqrt().mean()
