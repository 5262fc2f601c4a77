"""DM against its formula, written plainly."""

from __future__ import annotations

from functools import partial

import torch

from delt_host.components import Views
from delt_host.models import build_model
from delt_host.problem import Problem
from delt_host.seeding import isolated_rng
from delt_plugins.controls import Real
from delt_plugins.dm import DistributionMatching


def test_dm_is_the_sum_of_squared_distances_of_class_means(problem: Problem) -> None:
    start = Real().initialize(problem)
    images = start.images.clone().requires_grad_(True)
    views = Views(images, start.targets, 1, 7, partial(problem.generator, "match", 0, 7))
    (value,) = DistributionMatching(real_batch=20).bind(problem)(views).values()
    (gradient,) = torch.autograd.grad(value.sum(), images)

    with isolated_rng(views.generator("dm", "weights").initial_seed(), "dm", "convnet3"):
        network = build_model("convnet3", 10, problem.image_size).train()
    rng = views.generator("dm", "real")
    real = []
    for label in range(10):
        members = problem.data.train.of_class(label)
        real.append(problem.data.train.read(members[torch.randperm(len(members), generator=rng)[:20]]))
    plain = start.images.clone().requires_grad_(True)
    wanted = network.features(problem.normalization.normalize(torch.cat(real))).flatten(1).detach()
    given = network.features(plain).flatten(1)
    loss = torch.zeros(())
    for label in range(10):
        mine, theirs = given[start.targets == label], wanted[label * 20 : (label + 1) * 20]
        loss = loss + ((mine.mean(0) - theirs.mean(0)) ** 2).sum()
    loss.backward()
    torch.testing.assert_close(value, loss.detach().view(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient, plain.grad, rtol=1e-3, atol=1e-6)


def test_dm_draws_another_network_and_other_images_each_iteration(problem: Problem) -> None:
    start = Real().initialize(problem)
    match = DistributionMatching(real_batch=8).bind(problem)
    values = [
        float(
            match(Views(start.images, start.targets, 1, t, partial(problem.generator, "match", 0, t)))["mean-features"]
        )
        for t in (0, 1, 0)
    ]
    assert values[0] == values[2] != values[1]
