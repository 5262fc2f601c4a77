"""Networks that are drawn, and networks as functions of their parameters."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.func import functional_call

from delt_host.contracts.problem import Problem
from delt_host.networks.build import build_model, outline
from delt_host.toolbox.feature_space import classifier
from delt_host.toolbox.statistics import recorded_inputs

Parameters = dict[str, Tensor]
"""A network's parameters by name."""


def drawn_network(problem: Problem, model: str, *purpose: str | int) -> nn.Module:
    """A network with random weights on the device, in train mode, whose parameters require no gradient.

    The weights are drawn by `problem.isolated(*purpose)`; without a purpose from torch's global generator, which the caller has
    isolated. InputError for a model that does not exist or cannot take the images.
    """
    with problem.isolated(*purpose) if purpose else nullcontext():
        network = build_model(model, problem.num_classes, problem.image_size, problem.models)
    return problem.compute.place(network).train().requires_grad_(False)


def outlined_network(problem: Problem, model: str) -> nn.Module:
    """A network of shapes alone, on torch's device `meta`, where nothing is computed: what its tensors take before there are
    any. With weights, on the CPU, where it cannot be built there."""
    return outline(model, problem.num_classes, problem.image_size, problem.models)


def parameters(network: nn.Module) -> Parameters:
    """The network's parameters as they are, each a leaf that requires a gradient."""
    return {name: each.detach().requires_grad_(True) for name, each in network.named_parameters()}


def logits(problem: Problem, network: nn.Module, images: Tensor, of: Parameters | None = None) -> Tensor:
    """(n, C) float32, of normalised `images` (n, 3, S, S), in the problem's precision; `of`: with these parameters in place of
    the network's own."""
    images = images.contiguous(memory_format=torch.channels_last)
    with problem.compute.autocast():
        found = network(images) if of is None else functional_call(network, of, (images,))
    return found.float()


def features(problem: Problem, network: nn.Module, images: Tensor, of: Parameters | None = None) -> Tensor:
    """(n, D) float32: what goes into the network's last linear layer for normalised `images` (n, 3, S, S), as `logits` takes
    them. InputError where it has none."""
    with recorded_inputs([classifier(network, type(network).__name__)]) as inputs:
        logits(problem, network, images, of)
    return inputs[0].float().flatten(1)
