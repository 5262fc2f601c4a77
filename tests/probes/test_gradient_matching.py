"""Probe: gradient matching on networks that are trained on the set as it stands between matches, with a label an image (DC,
Zhao et al., ICLR 2021, arXiv 2006.05929, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from probing import (
    MODEL,
    begun,
    bounds,
    check_goes_on,
    draws_of,
    mirrored,
    network,
    plan_of,
    real,
    recovered,
    tiny_problem,
)
from pydantic import SerializeAsAny
from torch import Tensor

from delt_host import Learned, Match, Matcher, NetworkSource, Problem, Views
from delt_host.toolbox import RealBatches, logits, parameters
from delt_plugins.sources.trained import Pool

REAL, AGE, STEPS, BATCH = 8, 3, 2, 16
RATES = {"images": 20.0, "labels": 5.0}


class GradientMatching(Matcher):
    """Class by class one minus the cosine of real and synthetic gradients, over the rows of every weight."""

    networks: SerializeAsAny[NetworkSource] = Pool(
        model=MODEL, max_age=AGE, trained_on="current", steps=STEPS, batch=BATCH, momentum=0.0, weight_decay=0.0
    )
    """Trained on the set between matches."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)

        def match(views: Views) -> dict[str, Tensor]:
            of, distances = parameters(views.network), []

            def gradients(images: Tensor, labels: Tensor, graph: bool) -> Sequence[Tensor]:
                loss = F.cross_entropy(logits(problem, views.network, images, of), labels)
                return torch.autograd.grad(loss, list(of.values()), create_graph=graph)

            assert views.labels is not None
            for label in views.targets.unique().tolist():
                images, classes = batches.of_classes([label], REAL, views.generator("real", label))
                own = views.targets == label
                wanted = gradients(views.augment(images), classes, graph=False)
                given = gradients(views.images[own], views.labels[own].softmax(dim=1), graph=True)
                for a, b in zip(given, wanted, strict=True):
                    if a.ndim > 1:
                        distances.append((1 - F.cosine_similarity(a.flatten(1), b.flatten(1), eps=1e-6)).sum())
            return {"gradients": torch.stack(distances).sum().view(1)}

        return match


def plain(problem: Problem, x: Tensor, iterations: int) -> tuple[Tensor, Tensor, list[float]]:
    """The same with torch alone."""
    targets = problem.unit_targets()
    y = (4.0 * F.one_hot(targets, 10)).requires_grad_(True)
    x = x.clone().requires_grad_(True)
    pixels = torch.optim.SGD([x], lr=RATES["images"], momentum=0.5)
    soft = torch.optim.SGD([y], lr=RATES["labels"])
    low, high = bounds(problem)
    losses = []
    for t in range(iterations):
        rng = draws_of(problem, "networks", 0, t)
        torch.randint(1, (1,), generator=rng)
        if t % AGE == 0:
            net = network(problem, t)
            optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        else:
            for _ in range(STEPS):
                chosen = torch.randperm(len(x), generator=rng)[:BATCH]
                optimizer.zero_grad()
                F.cross_entropy(net(x.detach()[chosen]), y.detach()[chosen].softmax(1)).backward()
                optimizer.step()
        loss = torch.zeros(())
        for label in range(10):
            members = torch.nonzero(problem.data.train.targets == label).flatten()
            order = torch.randperm(len(members), generator=draws_of(problem, "match", 0, t, "real", label))
            images, own = real(problem, members[order[:REAL]]), x[targets == label]
            if mirrored(problem, t):
                images, own = images.flip(3), own.flip(3)
            weights = list(net.parameters())
            a = torch.autograd.grad(F.cross_entropy(net(images), torch.full((len(images),), label)), weights)
            of_set = F.cross_entropy(net(own), y[targets == label].softmax(1))
            b = torch.autograd.grad(of_set, weights, create_graph=True)
            for g, h in zip(a, b, strict=True):
                if g.ndim > 1:
                    for row, other in zip(g.flatten(1), h.flatten(1), strict=True):
                        loss = loss + 1 - row @ other / (row.norm() * other.norm() + 1e-12)
        pixels.zero_grad(), soft.zero_grad()
        loss.backward(inputs=[x, y])
        pixels.step(), soft.step()
        with torch.no_grad():
            x.copy_(torch.minimum(torch.maximum(x, low), high))
        losses.append(loss.item())
    return x.detach(), y.detach(), losses


def test_equals_the_plain_loop_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    problem = tiny_problem(ipc=2)
    start, matcher = begun(problem), GradientMatching()
    learns = (
        Learned(what="images", optimizer="sgd", options={"momentum": 0.5}),
        Learned(what="labels", optimizer="sgd", start=4.0),
    )
    plan = plan_of(problem, 5, learns, RATES)
    result = recovered(problem, start, plan, matcher)
    images, labels, losses = plain(problem, start.images["images"], 5)
    torch.testing.assert_close(torch.tensor(result.curves["gradients"]), torch.tensor(losses), rtol=1e-4, atol=1e-4)
    made, soft = result.latents.images["images"], result.latents.labels
    assert (made - images).abs().mean() < 1e-3 * (images - start.images["images"]).abs().mean()
    assert soft is not None
    assert (soft - labels).abs().mean() < 1e-3 * (labels - 4.0 * F.one_hot(start.targets, 10)).abs().mean()
    check_goes_on(problem, start, plan, matcher, tmp_path / "checkpoint", result.latents)
