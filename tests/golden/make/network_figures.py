"""What is kept of a published network: counts, names and shapes of its tensors, logits on made images, how it is drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from made_inputs import set_weights, waves

LOGITS = 5  # the first of each image


@torch.no_grad()
def figures_of(network: nn.Module, image_size: int, names: bool = False) -> dict[str, Any]:
    """Of a network just built; its weights are set afterwards. With `names`, the lines of `tensors_of` too."""
    weights = [p.double() for p in network.parameters() if p.ndim > 1]
    biases = [m.bias.double() for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None]
    about: dict[str, Any] = {
        "parameters": sum(p.numel() for p in network.parameters()),
        # The root mean squares of each layer's first weights and biases, averaged over layers.
        "weights drawn": round(sum(w.square().mean().sqrt().item() for w in weights) / len(weights), 4),
        "biases drawn": round(sum(b.square().mean().sqrt().item() for b in biases) / max(len(biases), 1), 4),
    }
    set_weights(network)
    logits = network.eval()(waves(2, 3, image_size, image_size))
    about["logits"] = [[float(f"{value:.7g}") for value in row[:LOGITS]] for row in logits.tolist()]
    return about | ({"tensors": tensors_of(network)} if names else {})


def tensors_of(network: nn.Module) -> list[str]:
    """A line for each module that has any of its own, in the order of modules: its name, and name and shape of each tensor.

    `norm=64` stands for a BatchNorm's four.
    """
    lines = []
    for name, module in network.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        shapes = [f"{key}={'x'.join(map(str, value.shape))}" for key, value in own if value.ndim]
        if isinstance(module, nn.BatchNorm2d):
            shapes = [f"norm={module.num_features}"]
        if shapes:
            lines.append(" ".join((name, *shapes)))
    return lines
