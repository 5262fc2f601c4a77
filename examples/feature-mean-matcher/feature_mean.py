"""A matcher from outside: synthetic images should have the mean features of the real images of their class."""

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host import Match, Matcher, Problem, Views, hookimpl
from delt_host.toolbox import FeatureSpace, classifier, recorded_inputs


class FeatureMean(Matcher):
    """Cross-entropy, and the squared distance of the teacher's last features, averaged over each class of the group."""

    source = "an example, not a published method"
    of_teachers = True

    weight: float = 1.0
    """The weight of the distance."""

    def bind(self, problem: Problem) -> Match:
        last = classifier(problem.network, problem.teacher.architecture)
        # Computed once for these data and this teacher, then kept in the store.
        real = problem.remember("feature-mean", lambda: {"means": real_means(problem)})["means"]

        def match(views: Views) -> dict[str, Tensor]:
            with recorded_inputs([last]) as inputs, problem.compute.autocast():
                logits = problem.network(views.images)
            entropy = F.cross_entropy(logits.float(), views.targets, reduction="none")
            features = inputs[0].float().chunk(views.groups)
            pairs = zip(features, views.targets.chunk(views.groups), strict=True)
            distances = [distance(*of_group, real) for of_group in pairs]
            per_group = entropy.view(views.groups, -1).mean(dim=1)
            return {"cross-entropy": per_group, "features": self.weight * torch.stack(distances)}

        return match


def distance(features: Tensor, targets: Tensor, real: Tensor) -> Tensor:
    present, place = targets.unique(return_inverse=True)
    membership = F.one_hot(place, len(present)).float()
    means = membership.T @ features / membership.sum(dim=0)[:, None]
    return (means - real.to(means.device)[present]).square().mean()


def real_means(problem: Problem) -> Tensor:
    space, split = FeatureSpace(problem), problem.data.train
    return torch.stack([space.of_split(split, split.of_class(c)).mean(dim=0) for c in range(problem.num_classes)])


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"feature-mean": FeatureMean}
