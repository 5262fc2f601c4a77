"""Between pixels and normalised space: the mean and std a network was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    """Per-channel mean and std of RGB values in 0..1."""

    mean: tuple[float, ...]
    """Of each channel, RGB."""
    std: tuple[float, ...]
    """Likewise."""

    def normalize(self, pixels: Tensor) -> Tensor:
        """`pixels` (B, 3, H, W), uint8 RGB or float in 0..1, to float32 in normalised space."""
        unit = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        return (unit - _channel(self.mean, unit)) / _channel(self.std, unit)

    def denormalize(self, images: Tensor, rounding: str = "nearest") -> Tensor:
        """Normalised images (B, 3, H, W) to uint8 RGB; `rounding` is `nearest`, or `floor` as the published code."""
        levels = (images * _channel(self.std, images) + _channel(self.mean, images)) * 255
        # Whole levels come back as 254.99999: the tolerance keeps `floor` from losing one to float32.
        levels = (levels + 1e-3).floor() if rounding == "floor" else levels.round()
        return levels.clamp(0, 255).to(torch.uint8)

    def pixel_bounds(self) -> tuple[Tensor, Tensor]:
        """The normalised values (1, 3, 1, 1) of black and white."""
        return self.normalize(torch.zeros(1, 3, 1, 1)), self.normalize(torch.ones(1, 3, 1, 1))


def _channel(values: tuple[float, ...], like: Tensor) -> Tensor:
    return _kept(values, like.device)


@cache  # or each call would copy them to the device
def _kept(values: tuple[float, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, 3, 1, 1)
