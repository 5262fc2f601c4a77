"""Probe: the loss of real images after training on the set, through the last steps alone, gradients clipped, the moving average
kept (RaT-BPTT, Feng et al., ICLR 2024, arXiv 2311.07025)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from probing import MODEL, begun, bounds, draws_of, mirrored, network, plan_of, real, recovered, tiny_problem
from pydantic import SerializeAsAny
from torch import Tensor
from torch.func import functional_call

from delt_host import Learned, Match, Matcher, NetworkSource, Problem, Views
from delt_host.toolbox import RealBatches, logits, parameters, unrolled
from delt_plugins.sources.fresh import Fresh

STEPS, WINDOW, RATE, REAL = 7, 3, 0.1, 50
CLIP, AVERAGE, BETAS = 1e-3, 0.9, (0.9, 0.999)


class TruncatedUnroll(Matcher):
    """Cross-entropy of a real batch under a fresh network trained on the set, whose last steps alone are differentiated."""

    networks: SerializeAsAny[NetworkSource] = Fresh(model=MODEL)
    """New each iteration."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)

        def match(views: Views) -> dict[str, Tensor]:
            def loss(of: dict[str, Tensor], _step: int) -> Tensor:
                return F.cross_entropy(logits(problem, views.network, views.images, of), views.targets)

            rng = views.generator("window")
            steps = WINDOW + int(torch.randint(STEPS - WINDOW + 1, (1,), generator=rng))
            trained = unrolled(loss, parameters(views.network), steps, RATE, recorded=WINDOW)
            images, targets = batches.of_all(REAL, rng)
            answers = logits(problem, views.network, views.augment(images), trained)
            return {"real": F.cross_entropy(answers, targets).view(1)}

        return match


def plain(problem: Problem, x: Tensor, iterations: int) -> tuple[Tensor, list[float]]:
    """The same with torch alone; the moving average."""
    x, mean = x.clone().requires_grad_(True), x.clone()
    optimizer = torch.optim.Adam([x], lr=0.02, betas=BETAS)
    targets, (low, high), losses = problem.unit_targets(), bounds(problem), []
    for t in range(iterations):
        net, rng = network(problem, t), draws_of(problem, "match", 0, t, "window")
        steps = WINDOW + int(torch.randint(STEPS - WINDOW + 1, (1,), generator=rng))
        views = x.flip(3) if mirrored(problem, t) else x
        weights = list(net.parameters())
        for _ in range(steps - WINDOW):
            found = torch.autograd.grad(F.cross_entropy(net(views.detach()), targets), weights)
            for each, g in zip(weights, found, strict=True):
                each.data -= RATE * g
        now = dict(net.named_parameters())
        for _ in range(WINDOW):
            entropy = F.cross_entropy(functional_call(net, now, views), targets)
            found = torch.autograd.grad(entropy, list(now.values()), create_graph=True)
            now = {name: each - RATE * g for (name, each), g in zip(now.items(), found, strict=True)}
        chosen = torch.randperm(200, generator=rng)[:REAL]
        images = real(problem, chosen).flip(3) if mirrored(problem, t) else real(problem, chosen)
        loss = F.cross_entropy(functional_call(net, now, images), problem.data.train.targets[chosen])
        optimizer.zero_grad()
        loss.backward(inputs=[x])
        torch.nn.utils.clip_grad_norm_([x], CLIP)
        optimizer.step()
        with torch.no_grad():
            x.copy_(torch.minimum(torch.maximum(x, low), high))
            mean = AVERAGE * mean + (1 - AVERAGE) * x
        losses.append(loss.item())
    return mean, losses


def test_equals_the_plain_loop() -> None:
    problem = tiny_problem(ipc=2)
    start = begun(problem)
    learns = (Learned(what="images", options={"betas": BETAS}, clip=CLIP, average=AVERAGE),)
    result = recovered(problem, start, plan_of(problem, 5, learns, {"images": 0.02}), TruncatedUnroll())
    images, losses = plain(problem, start.images["images"], 5)
    torch.testing.assert_close(torch.tensor(result.curves["real"]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
    moved = (images - start.images["images"]).abs().mean()
    assert (result.latents.images["images"] - images).abs().mean() < 0.01 * moved
