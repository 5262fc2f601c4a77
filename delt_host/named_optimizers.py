"""Optimizers by name: torch's AdamW and SGD, and every other through timm's factory."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch

OURS = ("adamw", "sgd")


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

        known = {*OURS, *map(str, timm.optim.list_optimizers())}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"{', '.join(OURS)} are, and all of timm's"
            raise ValueError(f"{name!r} is no optimizer; {hint}")
        found: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            given, opt=name, lr=rate, momentum=momentum, **options
        )
        return found
    except TypeError as error:
        raise ValueError(f"optimizer {name} does not take {', '.join(options)}: {error}") from None


def check_optimizer(name: str, momentum: float, options: Mapping[str, Any]) -> None:
    """ValueError where there is no such optimizer, or where it does not take these options."""
    if name not in OURS or options:
        weights = [{"params": [torch.nn.Parameter(torch.zeros(1))], "weight_decay": 0.0}]
        make_optimizer(name, weights, 1e-3, momentum, options)
