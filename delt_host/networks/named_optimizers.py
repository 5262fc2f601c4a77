"""Optimizers by name: torch's AdamW and SGD, and every other through timm's factory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from delt_host.basics.errors import near

BY_OUR_NAME = ("adamw", "sgd")


def make_optimizer(
    name: str, groups: Sequence[Mapping[str, Any]], rate: float, momentum: float, options: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """An optimizer of groups of parameters, each with its weight decay. ValueError for a name or option that it has not."""
    given, options = [dict(group) for group in groups], dict(options)
    try:
        if name == "sgd":
            return torch.optim.SGD(given, lr=rate, momentum=momentum, **options)
        if name == "adamw":
            return torch.optim.AdamW(given, lr=rate, **{"betas": (0.9, 0.999), **options})
        import timm.optim

        known = {*BY_OUR_NAME, *map(str, timm.optim.list_optimizers())}
        if name not in known:
            hint = near(name, known) or f"; {', '.join(BY_OUR_NAME)} are, and all of timm's"
            raise ValueError(f"{name!r} is no optimizer{hint}")
        found: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            given, opt=name, lr=rate, momentum=momentum, **options
        )
        return found
    except TypeError as error:
        raise ValueError(f"optimizer {name} does not take {', '.join(options)}: {error}") from None


def check_optimizer(name: str, momentum: float, options: Mapping[str, Any]) -> None:
    """ValueError where there is no such optimizer, or where it does not take these options."""
    if name not in BY_OUR_NAME or options:
        weights = [{"params": [torch.nn.Parameter(torch.zeros(1))], "weight_decay": 0.0}]
        make_optimizer(name, weights, 1e-3, momentum, options)
