"""Probe: a step after each class, on one network of a pool that is trained on real images, images as mosaics, two terms brought
to equal gradients (IDC, Kim et al., ICML 2022, arXiv 2205.14959; IDM, Zhao et al., CVPR 2023, arXiv 2307.09742)."""

from __future__ import annotations

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
from torch import Tensor, nn

from delt_host import Learned, Match, Matcher, NetworkSource, Problem, Views
from delt_host.toolbox import RealBatches, logits, parameters
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.sources.trained import Pool

REAL, STEPS, BATCH, RATE = 6, 2, 32, 0.5


class ClassByClass(Matcher):
    """Squared distance of the convolution's gradients of one class, and the cross-entropy of its images."""

    networks: SerializeAsAny[NetworkSource] = Pool(model=MODEL, size=2, max_age=2, steps=STEPS, batch=BATCH)
    """Trained on real images."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)

        def match(views: Views) -> dict[str, Tensor]:
            of = parameters(views.network)
            images, classes = batches.of_classes(views.targets.unique().tolist(), REAL, views.generator("real"))
            loss = F.cross_entropy(logits(problem, views.network, views.augment(images), of), classes)
            (wanted,) = torch.autograd.grad(loss, of["0.weight"])
            entropy = F.cross_entropy(logits(problem, views.network, views.images, of), views.targets)
            (given,) = torch.autograd.grad(entropy, of["0.weight"], create_graph=True)
            return {"gradients": (given - wanted).square().sum().view(1), "cross-entropy": entropy.view(1)}

        return match


def plain(problem: Problem, x: Tensor, iterations: int) -> tuple[Tensor, list[dict[str, float]]]:
    """The same with torch alone: an optimiser for each class."""
    units = [each[None].clone().requires_grad_(True) for each in x]
    optimizers = [torch.optim.SGD([each], lr=RATE, momentum=0.5) for each in units]
    low, high = bounds(problem)
    pool: dict[int, tuple[nn.Module, torch.optim.SGD]] = {}
    ages, weight, history = [0, 0], 0.0, []
    lengths = [0.0, 0.0]
    for t in range(iterations):
        rng = draws_of(problem, "networks", 0, t)
        place = int(torch.randint(2, (1,), generator=rng))
        if place not in pool or ages[place] == 2:
            fresh = network(problem, t)
            optimizer = torch.optim.SGD(fresh.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
            pool[place], ages[place] = (fresh, optimizer), 0
        else:
            net, optimizer = pool[place]
            for _ in range(STEPS):
                chosen = torch.randperm(200, generator=rng)[:BATCH]
                optimizer.zero_grad()
                F.cross_entropy(net(real(problem, chosen)), problem.data.train.targets[chosen]).backward()
                optimizer.step()
        ages[place] += 1
        net, terms = pool[place][0], []
        kernel = next(net.parameters())
        for label, (unit, step) in enumerate(zip(units, optimizers, strict=True)):
            members = torch.nonzero(problem.data.train.targets == label).flatten()
            order = torch.randperm(len(members), generator=draws_of(problem, "match", 0, t, label, "real"))
            images = real(problem, members[order[:REAL]])
            cells = [unit[:, :, i : i + 4, j : j + 4] for i in (0, 4) for j in (0, 4)]
            own = F.interpolate(torch.cat(cells), size=8, mode="bilinear", align_corners=False)
            if mirrored(problem, t, label):
                images, own = images.flip(3), own.flip(3)
            (wanted,) = torch.autograd.grad(F.cross_entropy(net(images), torch.full((len(images),), label)), kernel)
            entropy = F.cross_entropy(net(own), torch.full((4,), label))
            (given,) = torch.autograd.grad(entropy, kernel, create_graph=True)
            distance = (given - wanted).square().sum()
            if t == 0:  # the lengths of all classes so far
                for nth, each in enumerate((distance, entropy)):
                    lengths[nth] += float(torch.autograd.grad(each, own, retain_graph=True)[0].square().sum())
                weight = (lengths[0] / lengths[1]) ** 0.5
            step.zero_grad()
            (distance + weight * entropy).backward(inputs=[unit])
            step.step()
            with torch.no_grad():
                for every in units:
                    every.copy_(torch.minimum(torch.maximum(every, low), high))
            terms.append((distance.item(), weight * entropy.item()))
        means = [sum(each) / 10 for each in zip(*terms, strict=True)]
        history.append(dict(zip(("gradients", "cross-entropy"), means, strict=True)))
    return torch.cat(units).detach(), history


def test_equals_the_plain_loop_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    problem = tiny_problem(ipc=1, form=Mosaic())
    start, matcher = begun(problem), ClassByClass(balance="first step")
    learns = (Learned(what="images", optimizer="sgd", options={"momentum": 0.5}),)
    plan = plan_of(problem, 6, learns, {"images": RATE}, turns="by class")
    result = recovered(problem, start, plan, matcher)
    images, history = plain(problem, start.images["images"], 6)
    for name in ("gradients", "cross-entropy"):
        expected = torch.tensor([terms[name] for terms in history])
        torch.testing.assert_close(torch.tensor(result.curves[name]), expected, rtol=1e-4, atol=1e-7)
    made = result.latents.images["images"]
    assert (made - images).abs().mean() < 1e-3 * (images - start.images["images"]).abs().mean()
    assert plan.image_iterations == 60 and matcher.passes(problem, plan.groups[0].phases[0]) == 240
    check_goes_on(problem, start, plan, matcher, tmp_path / "checkpoint", result.latents)
