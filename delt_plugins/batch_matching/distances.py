"""How far the gradients of synthetic images are from those of real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["rows", "squared", "absolute"]


def by_rows(given: Tensor, wanted: Tensor) -> Tensor:
    """``sum over output rows of 1 - cos`` of two weights' gradients (O, …), each row flattened (DC, eq. 9, and 1e-6)."""
    given, wanted = given.flatten(1), wanted.flatten(1)
    along = (given * wanted).sum(dim=1)
    return (1 - along / (given.norm(dim=1) * wanted.norm(dim=1) + 1e-6)).sum()


def squared(given: Tensor, wanted: Tensor) -> Tensor:
    """The sum of squared differences of two gradients of one shape (IDC on CIFAR)."""
    return (given - wanted).square().sum()


def absolute(given: Tensor, wanted: Tensor) -> Tensor:
    """The sum of absolute differences of two gradients of one shape (IDC on ImageNet)."""
    return (given - wanted).abs().sum()


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"rows": by_rows, "squared": squared, "absolute": absolute}


def distance(kind: Distance, given: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """(): summed over weights, whose gradients are in the same order on both sides; differentiable."""
    return torch.stack([DISTANCES[kind](*pair) for pair in zip(given, wanted, strict=True)]).sum()
