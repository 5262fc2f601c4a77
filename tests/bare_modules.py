"""Tensors under names that a published network gives them, without its code."""

from __future__ import annotations

import torch
from torch import nn

NORM = ("weight", "bias", "running_mean", "running_var")


def bare_module(lines: list[str]) -> nn.Module:
    """A module with tensors of these names and shapes and no code: lines are ``conv1 weight=64x3x3x3`` or ``bn1 norm=64``."""
    whole = nn.Module()
    for line in lines:
        name, *shapes = line.split()
        inner = whole
        for part in name.split("."):
            if part not in dict(inner.named_children()):
                inner.add_module(part, nn.Module())
            inner = inner.get_submodule(part)
        for key, _, sides in (shape.partition("=") for shape in shapes):
            value = torch.zeros(*map(int, sides.split("x")))
            for each in NORM if key == "norm" else (key,):
                if each.startswith("running"):
                    inner.register_buffer(each, value.clone())
                else:
                    inner.register_parameter(each, nn.Parameter(value.clone()))
            if key == "norm":
                inner.register_buffer("num_batches_tracked", torch.tensor(0))
    return whole
