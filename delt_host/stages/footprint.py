"""What passes of a network take of memory, counted in one pass of one image: weights, and what is kept for the way back."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from delt_host.basics.compute import Compute
from delt_host.contracts.prepared import Passes

STATE = 3.5
"""Times its weights that a network in training has beside them: gradients, two moments, a copy in bf16."""
PIXELS = 8
"""Times its float32 pixels that an image in recovery takes: itself, its view, gradients, two moments, terms of the loss."""
SHOWN = 3
"""Times its float32 pixels that an image takes that is shown to a network."""
BACK = 1.25
"""Times what is kept for the way back that it takes to go it."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of a network and of one image's pass through it."""

    weights: int = 0
    saved: int = 0
    """Of an image, what is kept for the way back."""
    largest: int = 0
    """Of an image, the largest of these."""
    image: int = 0
    """Of an image's float32 pixels."""

    def of(self, passes: Passes) -> float:
        """That passes take at most, the network itself left out."""
        if passes.way == "forward":
            return passes.at_once * (2 * self.largest + SHOWN * self.image)
        beside, pixels = (STATE * self.weights, SHOWN) if passes.way == "training" else (0.0, PIXELS)
        return beside + passes.at_once * (BACK * self.saved + pixels * self.image)


def footprint(network: nn.Module, side: int, compute: Compute) -> Footprint:
    """Of a network that takes images of so many pixels a side; it goes through a forward pass of one."""
    weights = {
        tensor.numel() for tensor in network.parameters() if tensor.ndim > 1
    }  # of these there are copies in another precision
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.numel() not in weights:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.zeros(1, 3, side, side, device=compute.device).contiguous(memory_format=torch.channels_last)
    network.eval().requires_grad_(True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), compute.autocast():
        out = network(image.requires_grad_(True))
    del out  # until here nothing else could come to lie in the place of what was kept
    own = [*network.parameters(), *network.buffers()]
    return Footprint(sum(t.nbytes for t in own), sum(kept.values()), max(kept.values(), default=0), image.nbytes)


def peak(cost: tuple[Passes, ...], footprints: Mapping[str, Footprint]) -> float:
    """Bytes that a step takes at most while these go through networks, all of which are there."""
    networks = sum(footprints[name].weights for name in {passes.network for passes in cost})
    return networks + max((footprints[passes.network].of(passes) for passes in cost), default=0.0)


def resident() -> int:
    """Bytes of memory that this process has now; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, AttributeError):  # neither is on every system
        return 0
