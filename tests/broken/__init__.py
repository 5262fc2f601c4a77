"""Components that break a promise, a few lines each, by kind, and the words that the conformance kit says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from delt_host import Problem

BREAKS: list[tuple[Any, str]] = []
STATE: list[Any] = []


def breaks(said: str, **options: Any) -> Any:
    """The class breaks its contract, and this is said of it."""

    def add(cls: Any) -> Any:
        BREAKS.append((cls(**options), said))
        return cls

    return add


def shape(problem: Problem, classes: Sequence[int]) -> tuple[int, int, int, int]:
    return (len(classes) * problem.count, 3, problem.image_size, problem.image_size)


def noise(problem: Problem, classes: Sequence[int]) -> Tensor:
    own = (problem.count, 3, problem.image_size, problem.image_size)
    return torch.cat([torch.randn(own, generator=problem.generator("noise", label)) for label in classes])
