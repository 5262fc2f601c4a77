"""On the CPU, instance norm, ReLU and 2 x 2 average pooling as one operator, with an exact double backward."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules

from delt_host.basics import compiler
from delt_host.basics.instance_norm import ByChannel

SOURCE = "norm_relu_pool.cpp"
LAST = torch.channels_last
SUMS = {torch.bfloat16: torch.float32, torch.float32: torch.float32, torch.float64: torch.float64}
"""What is computed in, by the maps' type: that of weights and statistics."""


def prepare() -> None:
    """Have it compiled, which takes seconds where it is not kept. InputError where it cannot be."""
    compiler.library(SOURCE)


def seconds() -> float:
    """How long compiling took in this process: 0 where it was kept."""
    return compiler.took.get(SOURCE, 0.0)


def identity() -> str:
    """What a result depends on that was made with it."""
    return f"norm-relu-pool {compiler.source_digest(SOURCE)}"


def norm_relu_pool(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """(N, C, H // 2, W // 2) in x's type: `x` (N, C, H, W) with each map normalised by its own mean and biased variance, times
    `weight` (C,) plus `bias` (C,), ReLU, and the mean of each 2 x 2.

    Differentiable twice. `fits` says what it takes.
    """
    # Laid out out here, as autograd follows what is saved only where that is an argument itself.
    found: Tensor = _Forward.apply(x.contiguous(memory_format=LAST), weight.contiguous(), bias.contiguous(), eps)
    return found


def fits(x: Tensor, norm: nn.GroupNorm) -> bool:
    """Whether the operator takes such a map and layer: on the CPU, and nothing watches or transforms the call."""
    weight, bias = norm.weight, norm.bias
    return (
        x.device.type == "cpu"
        and type(x) in (Tensor, nn.Parameter)
        and x.ndim == 4
        and x.numel() > 0
        and min(x.shape[2:]) >= 2
        and all(
            each is not None and each.dtype == SUMS.get(x.dtype) and each.device == x.device for each in (weight, bias)
        )
        and torch._C._functorch.peek_interpreter_stack() is None
    )


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        n, c, h, w = x.shape
        out = torch.empty((n, c, h // 2, w // 2), dtype=x.dtype, memory_format=LAST)
        mean, scale = (torch.empty((n, c), dtype=weight.dtype) for _ in range(2))
        _call("forward", x, [x, weight, bias, eps, out, mean, scale])
        ctx.save_for_backward(x, weight, bias)
        ctx.statistics = mean, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return *_Backward.apply(grads[0].contiguous(memory_format=LAST), *ctx.saved_tensors, *ctx.statistics), None


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, scale: Tensor) -> Any:
        to_x = torch.empty_like(x, memory_format=LAST)
        to_weight, to_bias = torch.empty_like(mean), torch.empty_like(mean)
        _call("backward", x, [grad, x, weight, bias, mean, scale, to_x, to_weight, to_bias])
        ctx.save_for_backward(grad, x, weight, bias, mean, scale)
        return to_x, to_weight.sum(0), to_bias.sum(0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        of_x, of_weight, of_bias = grads
        given = of_x.contiguous(memory_format=LAST), of_weight.contiguous(), of_bias.contiguous()
        return *_DoubleBackward.apply(*given, *ctx.saved_tensors), None, None, None


class _DoubleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Any:
        grad, x, mean = given[3], given[4], given[7]
        to_grad, to_x = torch.empty_like(grad, memory_format=LAST), torch.empty_like(x, memory_format=LAST)
        to_weight = torch.empty_like(mean)
        _call("double_backward", x, [*given, to_grad, to_x, to_weight])
        return to_grad, to_x, to_weight.sum(0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        # Not `once_differentiable`, whose error is on no path to an input: `autograd.grad` would pass it by.
        raise RuntimeError(
            "norm, ReLU and pooling as one operator have two derivatives and no third; leave --compile out"
        )


def _call(name: str, x: Tensor, given: list[Tensor | float]) -> None:
    """Pointers do not know what they point at: everything is checked here."""
    n, c, h, w = x.shape
    words: list[Any] = []
    for each in given:
        if isinstance(each, float):
            words.append(ctypes.c_double(each))
            continue
        maps = each.ndim == 4
        right = each.is_contiguous(memory_format=LAST) if maps else each.is_contiguous()
        right &= tuple(each.shape) in (((n, c, h, w), (n, c, h // 2, w // 2)) if maps else ((n, c), (c,)))
        right &= each.dtype == (x.dtype if maps else SUMS[x.dtype]) and each.device.type == "cpu"
        if not right:
            what = f"{each.dtype} {tuple(each.shape)} {each.stride()} beside {x.dtype} {tuple(x.shape)}"
            raise RuntimeError(f"{name} of norm, ReLU and pooling as one operator was called with {what}")
        words.append(ctypes.c_void_p(each.data_ptr()))
    call = getattr(compiler.library(SOURCE), f"{name}_{str(x.dtype).removeprefix('torch.')}")
    call(*words, *map(ctypes.c_int64, (n, h, w, c)), ctypes.c_int(torch.get_num_threads()))


class Fused(nn.Sequential):
    """A Sequential in which instance norm, ReLU and 2 x 2 average pooling one after the other are one operator."""

    def forward(self, x: Tensor) -> Tensor:
        layers, at = list(self), 0
        while at < len(layers):
            three = layers[at : at + 3]
            if _is_fusable(three) and fits(x, three[0]):  # type: ignore[arg-type]
                x, at = norm_relu_pool(x, three[0].weight, three[0].bias, three[0].eps), at + 3  # type: ignore[arg-type]
            else:
                x, at = layers[at](x), at + 1
        return x


def fuse(network: nn.Module) -> bool:
    """Have its Sequentials use the operator, and tell whether any can; its names, its layers and who hooks them stay."""
    fitting = [each for each in network.modules() if isinstance(each, nn.Sequential) and _has_three(each)]
    for each in fitting:
        if type(each) is nn.Sequential:  # one that is more than that has a forward of its own
            each.__class__ = Fused
    return any(type(each) is Fused for each in fitting)


def _has_three(layers: nn.Sequential) -> bool:
    return any(_is_fusable(list(layers)[at : at + 3]) for at in range(len(layers) - 2))


def _is_fusable(layers: list[nn.Module]) -> bool:
    if len(layers) != 3 or modules._has_any_global_hook():
        return False
    norm, relu, pool = layers
    if type(norm) not in (nn.GroupNorm, ByChannel) or type(relu) is not nn.ReLU or type(pool) is not nn.AvgPool2d:
        return False
    return (
        norm.num_groups == norm.num_channels
        and (pool.kernel_size, pool.stride, pool.padding) in ((2, 2, 0), ((2, 2), (2, 2), (0, 0)))
        and not pool.ceil_mode
        and pool.divisor_override is None
        and not any(map(_is_watched, layers))
    )


def _is_watched(layer: nn.Module) -> bool:
    """Whether somebody has hooked it, or put a forward of its own on it."""
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    return any(hooks) or "forward" in layer.__dict__
