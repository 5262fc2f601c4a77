"""Losses that bring their own gradients, for those whose graph would be too large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def with_gradient(value: Tensor, gradients: Mapping[Tensor, Tensor]) -> Tensor:
    """`value` (), or of one element in another shape, with these gradients to these tensors, whatever it was computed from.

    Everything that computes them is done before, and nothing of it stays in memory. ValueError for a value of more elements and
    for a gradient of another shape than its tensor's.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with_gradient(torch.tensor(5.0), {x: torch.tensor([1.0, 2.0])}).backward()
    >>> x.grad
    tensor([1., 2.])
    """
    if value.numel() != 1:
        raise ValueError(f"a loss with given gradients has one element, not {tuple(value.shape)}")
    for tensor, gradient in gradients.items():
        if gradient.shape != tensor.shape:
            raise ValueError(f"the gradient {tuple(gradient.shape)} is not of its tensor's shape {tuple(tensor.shape)}")
    given: Tensor = _Given.apply(value.detach(), len(gradients), *gradients.keys(), *gradients.values())
    return given


class _Given(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, count: int, *rest: Tensor) -> Tensor:
        ctx.save_for_backward(*rest[count:])
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        gradients = ctx.saved_tensors
        return None, None, *(upstream[0].sum() * each for each in gradients), *[None] * len(gradients)
