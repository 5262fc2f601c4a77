"""SRe2L's matcher: the statistics that the teacher's BatchNorm layers have recorded of real images."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from delt_host import InputError, Match, Matcher, Problem, Views
from delt_host.toolbox import batch_norms, recorded_moments, running_statistics


class BatchNormMatching(Matcher):
    """Cross-entropy, and the distance of batch statistics to the teacher's running ones in every BatchNorm layer.

    ``CE(f(x), y) + weight * sum_l m_l (||Var_l - RV_l||_2 + ||Mean_l - RM_l||_2)``: norms not squared, biased
    variance, m_0 = `first_layer`, other m_l = 1, statistics of the layers' inputs with the teacher in eval mode.
    """

    source: ClassVar[str] = "SRe2L, eq. 5 and recover scripts"
    stackable: ClassVar[bool] = True
    of_teachers: ClassVar[bool] = True

    weight: float = Field(0.01, ge=0)
    """The weight of the statistics (r_bn)."""
    first_layer: float = Field(10.0, ge=0)
    """The multiplier of the first BatchNorm layer."""

    def bind(self, problem: Problem) -> Match:
        network = problem.network
        layers = batch_norms(network)
        targets = [running_statistics(layer) for layer in layers]
        if not layers:
            raise InputError(
                f"matcher batch-norm needs a teacher with BatchNorm layers; {problem.teacher.architecture} has none"
            )

        def match(views: Views) -> dict[str, Tensor]:
            with recorded_moments(layers, views.groups) as moments, problem.compute.autocast():
                logits = network(views.images)
            entropy = F.cross_entropy(logits.float(), views.targets, reduction="none")
            mean_term = variance_term = torch.zeros(views.groups, device=entropy.device)
            pairs = zip(targets, moments, strict=True)
            for index, ((running_mean, running_var), (mean, variance)) in enumerate(pairs):
                scale = self.first_layer if index == 0 else 1.0
                mean_term = mean_term + scale * (mean - running_mean).norm(dim=1)
                variance_term = variance_term + scale * (variance - running_var).norm(dim=1)
            return {
                "cross-entropy": entropy.view(views.groups, -1).mean(dim=1),
                "mean": self.weight * mean_term,
                "variance": self.weight * variance_term,
            }

        return match
