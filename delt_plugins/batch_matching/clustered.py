"""DREAM's start: real images that stand for the clusters of their class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from delt_host import Initializer, Problem, Start
from delt_host.toolbox import ahead, drawn_network, features
from delt_plugins.batch_matching.clusters import AT_ONCE, nearest_to_centres
from delt_plugins.controls.real import too_few_images
from delt_plugins.sources.fresh import WITHOUT_TEACHER


class Clustered(Initializer):
    """The real images nearest to the centres of as many clusters of their class, in features of the teacher, or without one
    of a network of random weights."""

    source: ClassVar[str] = "DREAM, section 3.2: its start"

    candidates: int = Field(0, ge=0)
    """Images of a class, drawn at random, in which clusters are looked for; 0: all."""

    def passes(self, problem: Problem) -> float:
        return float(min(self.candidates * problem.num_classes, len(problem.data.train)) or len(problem.data.train))

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        network = (
            problem.network if problem.teachers else drawn_network(problem, WITHOUT_TEACHER, "clustered", "weights")
        )
        chosen = []
        for label in classes:
            members = problem.data.train.of_class(label)
            if len(members) < problem.count:
                raise too_few_images(problem.class_names[label], len(members), problem.count)
            rng = problem.generator("clustered", label)
            drawn = members[torch.randperm(len(members), generator=rng)]
            drawn = drawn[: max(self.candidates, problem.count)] if self.candidates else drawn
            near = nearest_to_centres(self._features(problem, network, drawn), problem.count, rng)
            others = torch.ones(len(drawn), dtype=torch.bool)
            others[near] = False  # two centres may have one nearest image: drawn ones in place of the missing
            chosen.append(drawn[torch.cat([near, torch.nonzero(others).flatten()[: problem.count - len(near)]])])
            problem.advance(problem.count)
        return Start(problem.data.train.read(torch.cat(chosen)))

    @torch.no_grad()
    def _features(self, problem: Problem, network: nn.Module, members: Tensor) -> Tensor:
        parts = []
        for images in ahead(map(problem.data.train.read, members.split(AT_ONCE))):
            normalised = problem.normalization.normalize(images.to(problem.compute.device))
            parts.append(features(problem, network, normalised).cpu())
        return torch.cat(parts)
