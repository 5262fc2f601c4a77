"""DM against its formula, written plainly."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.matcher import Views
from delt_host.contracts.problem import Problem
from delt_host.networks.build import build_model
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from delt_plugins.controls.real import Real
from delt_plugins.dm.distribution import DistributionMatching
from delt_plugins.kit import views_of
from delt_plugins.sre2l.schedule import Constant


def network_of(problem: Problem, iteration: int) -> nn.Module:
    """This iteration's random network, drawn as `fresh` draws it."""
    with isolated_rng(problem.seed, "networks", 0, iteration, "weights"):
        return build_model("convnet3", 10, problem.image_size, problem.models).train()


def views_at(problem: Problem, images: Tensor, targets: Tensor, iteration: int) -> Views:
    return views_of(problem, images, targets, iteration, network=network_of(problem, iteration).requires_grad_(False))


def plain_distance(problem: Problem, views: Views, real_batch: int) -> Tensor:
    """Class by class, the squared distance of mean features, real and synthetic, under this iteration's random network."""
    network = network_of(problem, views.iteration)
    rng = views.generator("dm", "real")
    real = []
    for label in range(10):
        members = problem.data.train.of_class(label)
        real.append(problem.data.train.read(members[torch.randperm(len(members), generator=rng)[:real_batch]]))
    wanted = network.features(problem.normalization.normalize(torch.cat(real))).flatten(1).detach()
    given = network.features(views.images).flatten(1)
    loss = torch.zeros(())
    for label in range(10):
        mine, theirs = given[views.targets == label], wanted[label * real_batch : (label + 1) * real_batch]
        loss = loss + ((mine.mean(0) - theirs.mean(0)) ** 2).sum()
    return loss


def test_dm_is_the_sum_of_squared_distances_of_class_means(problem: Problem) -> None:
    start = Latents.of(problem, Real().initialize(problem, range(problem.num_classes)))
    images = start.images["images"].clone().requires_grad_(True)
    views = views_at(problem, images, start.targets, 7)
    (value,) = DistributionMatching(real_batch=20).bind(problem)(views).values()
    (gradient,) = torch.autograd.grad(value.sum(), images)
    loss = plain_distance(problem, views, 20)
    (expected,) = torch.autograd.grad(loss, images)
    torch.testing.assert_close(value, loss.detach().view(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)


def test_same_losses_and_pixels_as_the_plain_loop(problem: Problem) -> None:
    start, rate = Latents.of(problem, Real().initialize(problem, range(problem.num_classes))), 0.01
    plan = Constant(iterations=6, learning_rate=rate, decay="constant", crop="none", flip=False, order="class").plan(
        problem
    )
    result = recover_group(problem, start, plan, 0, DistributionMatching(real_batch=20), lambda _done, _terms: None)

    pixels = start.images["images"].clone().requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], lr=rate, betas=(0.5, 0.9), eps=1e-8)
    low, high = problem.normalization.pixel_bounds()
    losses = []
    for iteration in range(6):
        loss = plain_distance(problem, views_at(problem, pixels, start.targets, iteration), 20)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))
        losses.append(float(loss.detach()))
    assert result.curves["mean-features"] == pytest.approx(losses, rel=1e-3)
    made = result.latents.images["images"]
    assert (made - pixels).abs().mean() < 0.01 * (made - start.images["images"]).abs().mean()


def test_dm_draws_another_network_and_other_images_each_iteration(problem: Problem) -> None:
    start = Latents.of(problem, Real().initialize(problem, range(problem.num_classes)))
    match = DistributionMatching(real_batch=8).bind(problem)
    values = [
        float(match(views_at(problem, start.images["images"], start.targets, t))["mean-features"]) for t in (0, 1, 0)
    ]
    assert values[0] == values[2] != values[1]
