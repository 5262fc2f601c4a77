"""Matchers and sources of networks that break a promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from broken import STATE, breaks
from delt_host import (
    Matcher,
    NetworkSource,
    Problem,
)
from delt_host.contracts.network_source import Frozen

# Matchers


def pull(views: Any, to: float = 0.0) -> Tensor:
    return (views.images - to).square().mean(dim=(1, 2, 3)).view(views.groups, -1).mean(dim=1)


@breaks("term 'pull' became nan in group 0 at iteration 11")
class LateNaN(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views) * (float("nan") if views.iteration >= 11 else 1.0)}


@breaks("it raised ZeroDivisionError")
class RunsOut(Matcher):
    def bind(self, problem):
        return lambda views: {
            "pull": pull(views) / (1 if views.iteration == 0 else 12 - views.iteration) * (1 / (12 - views.iteration))
        }


@breaks("a group's result depends on the groups before it")
class Keeps(Matcher):
    def bind(self, problem):
        STATE.append(1)
        return lambda views: {"pull": pull(views, len(STATE) % 3)}


@breaks("what lasts from iteration to iteration belongs into views.memory")
class Counts(Matcher):
    def bind(self, problem):
        seen: list[int] = []
        return lambda views: {"pull": pull(views, len(seen) * 0.1) if seen.append(1) is None else None}


@breaks("no gradient reaches the images")
class Detached(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": views.images.detach().mean().view(1)}


@breaks("term 'pull' must have shape (groups,) = (1,), not ()")
class Scalar(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": views.images.square().mean()}


@breaks("its loss is a Tensor, not a dict of names to terms")
class PlainLoss(Matcher):
    def bind(self, problem):
        return pull


@breaks("bind() gives NoneType, not a function of views")
class NoMatch(Matcher):
    def bind(self, problem):
        _ = pull


@breaks("it returned no loss term")
class NoTerm(Matcher):
    def bind(self, problem):
        return lambda views: {}


@breaks("changes views.targets in place")
class Relabels(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views) + 0 * views.targets.zero_().sum()}


@breaks("leaves a teacher in training mode")
class TrainMode(Matcher):
    def bind(self, problem):
        problem.network.train()
        return lambda views: {"pull": pull(views)}


@breaks("leaves a teacher's parameters requiring a gradient")
class Loosens(Matcher):
    def bind(self, problem):
        problem.network.requires_grad_(True)
        return lambda views: {"pull": pull(views)}


@breaks("changes a teacher's weights in place")
class Prunes(Matcher):
    def bind(self, problem):
        next(problem.network.parameters()).data.mul_(0.5)
        return lambda views: {"pull": pull(views)}


@breaks("draws from torch's global generator")
class Noisy(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views, torch.rand(()).item())}


@breaks("a group's result depends on the group beside it")
class Stacks(Matcher):
    stackable: ClassVar[bool] = True

    def bind(self, problem):
        return lambda views: {"pull": pull(views, 1.0 if views.groups == 1 else 2.0)}


@breaks("option 'weight' has no docstring under it")
class Undescribed(Matcher):
    weight: float = 1.0

    def bind(self, problem):
        return lambda views: {"pull": pull(views)}


@breaks("passes() gives nan, not a number of images")
class NoCost(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views)}

    def passes(self, problem, phase):
        return float("nan")


@breaks("looks at problem.data.test")
class OnTestMatcher(Matcher):
    def bind(self, problem):
        mean = problem.data.test.read(torch.arange(4)).float().mean()
        return lambda views: {"pull": pull(views, mean)}


# Network sources


@breaks("parameter 'net.0.weight' requires a gradient in iteration 0")
class Loose(NetworkSource):
    name: Literal["loose"] = "loose"
    """Its name."""

    def bind(self, problem, group):
        return Frozen().bind(replace(problem, services=replace(problem.services, built={})), group) and LooseNetworks(
            problem
        )


class LooseNetworks:
    def __init__(self, problem: Problem) -> None:
        with problem.isolated("net"):
            self.network = Wrapped(problem)

    def at(self, iteration: int, current: object) -> nn.Module:
        return self.network


class Wrapped(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, problem.num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)
