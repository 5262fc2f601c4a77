"""DREAM's choice of real images: those nearest to the centres of a class's clusters in the network's features.

Liu et al.: DREAM, Efficient Dataset Distillation by Representative Matching, ICCV 2023 (arXiv 2302.14416), section 3.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from delt_host import Problem, Views
from delt_host.toolbox import features

AT_ONCE = 500  # images in a pass


class Clusters:
    """The chosen images of every class; `views.memory` holds them from one choice to the next."""

    def __init__(self, problem: Problem, count: int, candidates: int) -> None:
        """`count` images are chosen of each class, among `candidates` drawn ones; 0: of all."""
        self.problem, self.count, self.candidates = problem, count, candidates
        self._here: dict[int, Tensor] = {}  # of what is in the memory, which lies on the device

    def of_class(self, label: int, views: Views, every: int, rng: torch.Generator) -> Tensor:
        """Places (n,) in the training set, chosen anew in every so many iterations."""
        name = f"chosen of class {label}"
        if views.iteration % every == 0 or name not in views.memory:
            members = self.problem.data.train.of_class(label)
            if self.candidates:
                members = members[torch.randperm(len(members), generator=rng)[: self.candidates]]
            nearest = nearest_to_centres(self._features(members, views), self.count, rng)
            self._here[label] = members[nearest]
            views.memory[name] = members[nearest].to(views.images.device)
        elif label not in self._here:  # it goes on after a kill
            self._here[label] = views.memory[name].cpu()
        return self._here[label]

    @torch.no_grad()
    def _features(self, members: Tensor, views: Views) -> Tensor:
        problem, parts = self.problem, []
        for chunk in members.split(AT_ONCE):
            images = problem.data.train.read(chunk).to(problem.compute.device)
            parts.append(features(problem, views.network, problem.normalization.normalize(images)).cpu())
        return torch.cat(parts)


def nearest_to_centres(points: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Places (n,), n at most `count`, of the points (N, D) nearest to the centres of so many clusters; each once.

    >>> nearest_to_centres(torch.tensor([[0.0], [0.1], [9.0]]), 2, torch.Generator()).sort().values.tolist()[-1]
    2
    """
    from sklearn.cluster import KMeans  # a second to import

    if len(points) <= count:
        return torch.arange(len(points))
    seed = int(torch.randint(2**31 - 1, (1,), generator=rng))
    found = KMeans(count, n_init=1, max_iter=20, random_state=seed).fit(points.numpy())
    centres = torch.from_numpy(found.cluster_centers_).to(points.dtype)
    return torch.cdist(centres, points).argmin(dim=1).unique()
