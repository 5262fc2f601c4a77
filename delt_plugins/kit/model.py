"""What the conformance kit asks of a network's builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from delt_host import Builder, Problem
from delt_host.toolbox import build_model, isolated_rng
from delt_plugins.kit.small import real_start

NAME = "it"


def results(builder: Builder, problem: Problem) -> dict[str, Any]:
    return dict(_built(builder, problem.num_classes, problem).state_dict())


def examine(builder: Builder, problem: Problem) -> None:
    """A classifier of as many classes as it is asked for, the same under the same seed, whose gradients reach its weights and
    the images."""
    name = getattr(builder, "__name__", type(builder).__name__)
    images = problem.normalization.normalize(real_start(problem).images)
    for classes in (problem.num_classes, 3):
        network = _built(builder, classes, problem)
        assert isinstance(network, nn.Module), f"{name}: it builds a {type(network).__name__}, not a torch.nn.Module"
        leaf = images.clone().requires_grad_(True)
        with isolated_rng(0, "dropout"):
            logits = network.train()(leaf)
        assert tuple(logits.shape) == (len(images), classes), (
            f"{name}: in training it gives {tuple(logits.shape)} for {len(images)} images of {classes} classes"
        )
        assert bool(logits.isfinite().all()), f"{name}: its first logits are not finite"
        learned = [each for each in network.parameters() if each.requires_grad]
        reached = torch.autograd.grad(logits.square().sum(), [leaf, *learned], allow_unused=True)
        assert reached[0] is not None, f"{name}: no gradient reaches the images"
        assert any(each is not None for each in reached[1:]), f"{name}: no gradient reaches any of its parameters"
    first, again = (_built(builder, problem.num_classes, problem).state_dict() for _ in range(2))
    assert _same(first, again), (
        f"{name}: two networks under one seed have other weights; draw from torch's global generator"
    )
    evaluating = _built(builder, problem.num_classes, problem).eval()
    with torch.no_grad():
        together, alone = evaluating(images), evaluating(images[:2])
    near = torch.allclose(together[:2], alone, rtol=1e-3, atol=1e-4)
    assert near, f"{name}: in eval mode an image's logits depend on the images beside it"


def _same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _built(builder: Builder, classes: int, problem: Problem) -> nn.Module:
    with isolated_rng(0, "a network"):
        return build_model(NAME, classes, problem.image_size, {NAME: builder})
