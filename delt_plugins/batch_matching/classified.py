"""The second term of IDM, DANCE and NCFM: that a network which knows the classes tells the synthetic images', too."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host import NetworkSource, Problem, Views
from delt_host.toolbox import classifier, logits, recorded_inputs
from delt_plugins.sources.trained import Interpolated

Classifier = Callable[[Views], nn.Module]


def classifier_of(problem: Problem, networks: NetworkSource) -> Classifier:
    """Who tells classes in an iteration: one of the experts as trained, drawn anew, where networks lie between those; else the
    iteration's network itself."""
    if not isinstance(networks, Interpolated):
        return lambda views: views.network
    experts = networks.trained(problem)

    def drawn(views: Views) -> nn.Module:
        return experts[int(torch.randint(len(experts), (1,), generator=views.generator("classifier")))]

    return drawn


def features_and_logits(problem: Problem, network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """(n, D) and (n, C) float32 of normalised images (n, 3, S, S), by one pass."""
    with recorded_inputs([classifier(network, type(network).__name__)]) as inputs:
        found = logits(problem, network, images)
    return inputs[0].float().flatten(1), found


def classification(problem: Problem, network: nn.Module, views: Views, told: Tensor, classes: int) -> Tensor:
    """(1,): the mean cross-entropy of the synthetic images with their classes, times the number of these that the step has: a
    sum over classes as the distances are, so that turns do not change what it weighs beside them. `told` are the logits (n, C)
    of the iteration's own network."""
    found = told if network is views.network else logits(problem, network, views.images)
    return classes * F.cross_entropy(found, views.targets).view(1)
