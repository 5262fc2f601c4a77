"""Probe: ten steps on the set towards a later snapshot of an expert, in constant memory, with a learned rate (MTT, Cazenavette
et al., CVPR 2022, arXiv 2203.11932; TESLA, Cui et al., ICML 2023, arXiv 2211.10586)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from probing import MODEL, begun, bounds, draws_of, mirrored, network, plan_of, recovered, tiny_problem
from pydantic import SerializeAsAny
from torch import Tensor
from torch.func import functional_call

from delt_host import Learned, Match, Matcher, NetworkSource, Prepared, Problem, Views
from delt_host.basics.seeding import generator
from delt_host.store.resume import Checkpoint
from delt_host.toolbox import RealBatches, distance_after, drawn_network, logits
from delt_plugins.sources.fresh import Fresh

STEPS, LATER, EPOCHS = 10, 2, 4
RATES = {"images": 50.0, "learning_rate": 1e-3}


class TrajectoryMatching(Matcher):
    """The distance to where an expert is two epochs later, after ten steps on the set from where it was."""

    networks: SerializeAsAny[NetworkSource] = Fresh(model=MODEL, period=1000)
    """Only the network's form is of use: weights are the expert's."""

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [Prepared("expert-snapshots", partial(self._expert, problem), inputs={"epochs": EPOCHS})]

    def _expert(self, problem: Problem, _checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Weights `EPOCH.NAME` before each epoch on real images, and at the end."""
        network, real, found = drawn_network(problem, MODEL, "expert").requires_grad_(True), RealBatches(problem), {}
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        for epoch in range(EPOCHS + 1):
            found |= {f"{epoch}.{name}": each.detach().clone() for name, each in network.named_parameters()}
            for chosen in torch.randperm(len(problem.data.train), generator=generator(0, epoch)).split(50):
                images, targets = real.at(chosen)
                optimizer.zero_grad()
                F.cross_entropy(network(images), targets).backward()
                optimizer.step()
        return found

    def bind(self, problem: Problem) -> Match:
        (what,) = self.prepares(problem)
        snapshots = problem.prepared(what)

        def match(views: Views) -> dict[str, Tensor]:
            def loss(of: dict[str, Tensor], inputs: Sequence[Tensor], _step: int) -> Tensor:
                return F.cross_entropy(logits(problem, views.network, inputs[0], of), views.targets)

            epoch = int(torch.randint(EPOCHS - LATER + 1, (1,), generator=views.generator("epoch")))
            start, target = (
                {name: snapshots[f"{at}.{name}"] for name, _ in views.network.named_parameters()}
                for at in (epoch, epoch + LATER)
            )
            assert views.learning_rate is not None
            distance = distance_after(loss, [views.images], start, target, STEPS, views.learning_rate)
            return {"distance": distance.view(1)}

        return match


def plain(
    problem: Problem, x: Tensor, snapshots: dict[str, Tensor], iterations: int
) -> tuple[Tensor, float, list[float]]:
    """The same with torch alone, all ten graphs in memory: weights that a step begins with are constants."""
    x, alpha = x.clone().requires_grad_(True), torch.tensor(0.05, requires_grad=True)
    pixels = torch.optim.SGD([x], lr=RATES["images"], momentum=0.5)
    rate = torch.optim.SGD([alpha], lr=RATES["learning_rate"])
    net, targets, (low, high) = network(problem, 0), problem.unit_targets(), bounds(problem)
    names, losses = [name for name, _ in net.named_parameters()], []
    for t in range(iterations):
        epoch = int(torch.randint(EPOCHS - LATER + 1, (1,), generator=draws_of(problem, "match", 0, t, "epoch")))
        first = [snapshots[f"{epoch}.{name}"] for name in names]
        goal = [snapshots[f"{epoch + LATER}.{name}"] for name in names]
        views = x.flip(3) if mirrored(problem, t) else x
        now, end = first, first
        for _ in range(STEPS):
            held = [each.detach().requires_grad_(True) for each in now]
            entropy = F.cross_entropy(functional_call(net, dict(zip(names, held, strict=True)), views), targets)
            found = torch.autograd.grad(entropy, held, create_graph=True)
            now = [each - alpha.detach() * g.detach() for each, g in zip(now, found, strict=True)]
            end = [each - alpha * g for each, g in zip(end, found, strict=True)]
        whole = sum((a - b).square().sum() for a, b in zip(first, goal, strict=True))
        loss = sum((a - b).square().sum() for a, b in zip(end, goal, strict=True)) / whole
        pixels.zero_grad(), rate.zero_grad()
        loss.backward(inputs=[x, alpha])
        pixels.step(), rate.step()
        with torch.no_grad():
            x.copy_(torch.minimum(torch.maximum(x, low), high))
        losses.append(loss.item())
    return x.detach(), alpha.item(), losses


def test_equals_the_plain_loop() -> None:
    problem = tiny_problem(ipc=2)
    start, matcher = begun(problem), TrajectoryMatching()
    learns = (
        Learned(what="images", optimizer="sgd", options={"momentum": 0.5}),
        Learned(what="learning_rate", optimizer="sgd", start=0.05),
    )
    result = recovered(problem, start, plan_of(problem, 4, learns, RATES), matcher)
    (what,) = matcher.prepares(problem)
    images, alpha, losses = plain(problem, start.images["images"], what.made(Checkpoint(None)), 4)
    torch.testing.assert_close(torch.tensor(result.curves["distance"]), torch.tensor(losses), rtol=1e-4, atol=1e-5)
    made, rate = result.latents.images["images"], result.latents.learning_rate
    assert (made - images).abs().mean() < 1e-3 * (images - start.images["images"]).abs().mean()
    assert rate is not None and abs(float(rate) - alpha) < 1e-3 * abs(alpha - 0.05)
