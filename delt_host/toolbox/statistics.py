"""Batch statistics of a network's activations, taken in one pass and per group: a service for every matcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,), float32, over (N, H, W); no gradient."""
    # BatchNorm's own kernels read the map once, in any layout and precision, and accumulate in float32: twenty times as
    # fast as var_mean on a channels_last bf16 map on a CPU.
    count = x.numel() // x.shape[1]
    if x.device.type == "cpu":
        mean, variance = x.new_zeros(x.shape[1], dtype=torch.float32), x.new_zeros(x.shape[1], dtype=torch.float32)
        torch.batch_norm_update_stats(x, mean, variance, 1.0)  # the running statistics become the batch's
        return mean, variance * ((count - 1) / count) if count > 1 else torch.zeros_like(variance)
    mean, inverse_std = _mean_and_inverse_std(x)
    return mean, (inverse_std.pow(-2) - EPSILON).clamp_min(0)


EPSILON = 1e-12  # keeps the inverse of a zero variance finite


def _mean_and_inverse_std(x: Tensor) -> tuple[Tensor, Tensor]:
    """Both (C,), float32, on an accelerator."""
    if x.is_cuda:  # what BatchNorms that share their statistics take them by: it writes no normalised map
        mean, inverse_std = torch.batch_norm_stats(x, EPSILON)
    else:
        _, mean, inverse_std = torch.native_batch_norm(x, None, None, None, None, True, 0.0, EPSILON)
    return mean.float(), inverse_std.float()


def _final(x: Tensor) -> bool:
    """Whether kernels will do that CUDA alone has, and that have no gradient."""
    return x.is_cuda and not torch.is_grad_enabled()


def affine(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """``scale x + offset`` for each channel, in x's precision and layout; `scale` and `offset` (C,) are float32.

    BatchNorm in eval mode with mean 0 and variance 1: one pass, where broadcasting in bf16 takes longer and rounds more.
    """
    zero = torch.zeros_like(scale)
    if _final(x):
        return torch.batch_norm_elemt(x, None, offset, zero, scale, 0.0)
    one = torch.ones_like(scale)
    return torch.native_batch_norm(x, scale, offset, zero, one, False, 0.0, 0.0)[0]


def _moments_of_groups(x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    if x.device.type == "cpu":
        found = [moments(part) for part in x.chunk(groups)]
        return torch.stack([mean for mean, _ in found]), torch.stack([variance for _, variance in found])
    both = [_mean_and_inverse_std(part) for part in x.chunk(groups)]
    inverse_std = torch.stack([each for _, each in both])
    return torch.stack([mean for mean, _ in both]), (inverse_std.pow(-2) - EPSILON).clamp_min(0)


def _gradient_of_groups(x: Tensor, mean: Tensor, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:
    """What gradients (G, C) of mean and biased variance are for x: of each value, an affine function."""
    count = x.numel() // x.shape[1] // len(mean)
    scale = 2 * grad_variance / count
    if _final(x):  # the same, its parts written where they belong
        found = torch.empty_like(x)
        pieces = zip(x.chunk(len(mean)), found.chunk(len(mean)), grad_mean / count, mean, scale, strict=True)
        for part, out, bias, middle, slope in pieces:
            torch.batch_norm_elemt(part, None, bias, middle, slope, 0.0, out=out)
        return found
    offset = grad_mean / count - scale * mean
    parts = [affine(part, *of) for part, *of in zip(x.chunk(len(mean)), scale, offset, strict=True)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


class _Moments(torch.autograd.Function):
    """Moments of x, and a backward of one pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        mean, variance = _moments_of_groups(x, groups)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return _gradient_of_groups(*ctx.saved_tensors, *grads), None


class _FrozenBatchNorm(torch.autograd.Function):
    """BatchNorm by running statistics, and the moments of its input: two passes forward, two backward.

    As two operations they take five backward: one each, one that torch makes for weights that are not asked for, and one that
    adds the two gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, offset: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = _moments_of_groups(x, groups)
        ctx.save_for_backward(x, mean, scale)
        return affine(x, scale, offset), mean, variance

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, mean, scale = ctx.saved_tensors
        of_output, of_mean, of_variance = grads
        gradient = _gradient_of_groups(x, mean, of_mean, of_variance)
        gradient.addcmul_(of_output, scale.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2)))
        return gradient, None, None, None


def channel_moments(x: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (groups, C), float32, of `x`: activations (groups * B, C, H, W) or (groups * B, C),
    the groups one after another; differentiable."""
    found: tuple[Tensor, Tensor] = _Moments.apply(x, groups)
    return found


@contextmanager
def recorded_moments(layers: list[nn.Module], groups: int = 1) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """`channel_moments` of what goes into each BatchNorm layer in the forward pass inside the block, in their order.

    Where a layer is a plain, frozen BatchNorm in eval mode, as a teacher's are, normalising and measuring share their
    passes over the map; others (timm has BatchNorms that activate too) are left as they are and measured besides.
    """
    found: list[Any] = [None] * len(layers)

    def fused(place: int, scale: Tensor, offset: Tensor, x: Tensor) -> Tensor:
        output: Tensor
        output, *found[place] = _FrozenBatchNorm.apply(x, scale, offset, groups)
        return output

    def beside(place: int, _layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        found[place] = channel_moments(args[0], groups)

    hooks = []
    for place, layer in enumerate(layers):
        if _is_frozen(layer):
            # An instance's own forward goes before its class's, and is gone when it is deleted.
            layer.__dict__["forward"] = partial(fused, place, *_frozen_affine(layer))
        else:
            hooks.append(layer.register_forward_pre_hook(partial(beside, place)))
    try:
        yield found
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)
        for hook in hooks:
            hook.remove()


def _is_frozen(layer: nn.Module) -> bool:
    """Whether a layer does nothing but BatchNorm's affine map of the running statistics, with weights that are not trained."""
    plain = any(type(layer).forward is norm.forward for norm in BATCH_NORMS)
    return plain and not layer.training and not any(p.requires_grad for p in layer.parameters())


def _frozen_affine(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and offset (C,) of such a layer."""
    mean, variance = running_statistics(layer)
    weight, bias, epsilon = (getattr(layer, name) for name in ("weight", "bias", "eps"))
    scale = (variance + epsilon).rsqrt()
    scale = scale if weight is None else scale * weight
    return scale, (0 if bias is None else bias) - mean * scale


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
"""The classes of layers that are BatchNorms."""


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """The network's BatchNorm layers with running statistics, in module order; the first is the stem's."""
    return [m for m in network.modules() if isinstance(m, BATCH_NORMS) and m.running_mean is not None]


def running_statistics(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """The running mean and variance (C,), float32, of a layer that `batch_norms` gave; TypeError for others."""
    mean, variance = layer.running_mean, layer.running_var
    if not isinstance(mean, Tensor) or not isinstance(variance, Tensor):
        raise TypeError(f"{type(layer).__name__} keeps no running statistics")
    return mean, variance


@contextmanager
def recorded_inputs(layers: list[nn.Module]) -> Iterator[list[Tensor]]:
    """The input of each layer in the last forward pass inside the block, in the order of `layers`, however they run."""
    inputs: list[Any] = [None] * len(layers)

    def record(place: int, _layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs[place] = args[0]

    handles = [layer.register_forward_pre_hook(partial(record, place)) for place, layer in enumerate(layers)]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()
