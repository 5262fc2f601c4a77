"""Gradient matching from outside: a step on the synthetic images should teach a network what one on real images does."""

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host import Match, Matcher, Method, Problem, Views, hookimpl, use
from delt_host.toolbox import RealBatches, by_class, logits, parameters


class Gradients(Matcher):
    """One minus the cosine of the gradients of all weights, class by class."""

    source = "an example, after DC (arXiv 2006.05929)"

    real_batch: int = 64
    """Real images of a class in a step."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)

        def match(views: Views) -> dict[str, Tensor]:
            of, distances = parameters(views.network), []

            def gradient(images: Tensor, targets: Tensor, graph: bool) -> Tensor:
                loss = F.cross_entropy(logits(problem, views.network, images, of), targets)
                return torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*of.values()], create_graph=graph)])

            for label, own in by_class(views):
                real, classes = batches.of_classes([label], self.real_batch, views.generator("real", label))
                wanted = gradient(views.augment(real), classes, graph=False)
                given = gradient(views.images[own], views.targets[own], graph=True)
                distances.append(1 - F.cosine_similarity(given, wanted, dim=0))
            return {"gradients": torch.stack(distances).sum().view(1)}

        return match


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"my-gradients": Gradients}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {
        "my-dc": Method(
            summary="real images moved along gradients of networks that are being trained",
            initializer=use("real"),
            scheduler=use("whole-set", iterations=200, learning_rate=0.02, optimizer="adam", siamese="color_crop"),
            # One network at a time, trained on real images for five steps between matches.
            matcher=use("my-gradients", networks={"name": "pool", "model": "convnet3_in", "max_age": 20, "steps": 5}),
        )
    }
