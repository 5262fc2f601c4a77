"""A whole method from outside: start from the real images nearest to the k-means centres of their class's features."""

from collections.abc import Sequence

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from delt_host import Initializer, Method, Problem, Start, hookimpl, use
from delt_host.toolbox import FeatureSpace


class KMeansStart(Initializer):
    """The image nearest to each of as many centres as there are images a class, in the space of the teacher's last features."""

    source = "an example; coreset selection by clustering is folklore"

    restarts: int = 3
    """How often k-means starts anew; the tightest clustering is taken."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        chosen, space = [], FeatureSpace(problem)
        for label in classes:
            members = problem.data.train.of_class(label)
            features = space.of_split(problem.data.train, members).numpy()
            seed = problem.generator("kmeans", label).initial_seed() % 2**32
            found = KMeans(problem.count, n_init=self.restarts, random_state=seed).fit(features)
            distances = torch.cdist(torch.from_numpy(found.cluster_centers_), torch.from_numpy(features))
            chosen.append(members[nearest_distinct(distances)])
            problem.advance(problem.count)
        return Start(problem.data.train.read(torch.cat(chosen)))


def nearest_distinct(distances: Tensor) -> Tensor:
    """For each centre (k, n) the nearest image that no centre before it has taken."""
    taken: list[int] = []
    for row in distances:
        order = row.argsort(stable=True).tolist()
        taken.append(next(index for index in order if index not in taken))
    return torch.tensor(taken)


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"kmeans": KMeansStart}


@hookimpl
def delt_methods() -> dict[str, Method]:
    method = Method(
        summary="k-means centres of real features as a start, EarlyLate, BatchNorm statistics",
        source="an example",
        initializer=use("kmeans"),
        scheduler=use("early-late"),
        matcher=use("batch-norm"),
    )
    return {"kmeans": method}
