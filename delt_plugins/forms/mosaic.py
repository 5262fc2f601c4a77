"""Mosaic: four half-size images in the place of one, enlarged before anybody sees them.

IDC's multi-formation (Kim et al., ICML 2022, arXiv 2205.14959, section 4.1) at factor 2; not RDED's collage, which students
see whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host import Form, Normalization, hookimpl

ALONG = 2  # images along each side of a unit


class Mosaic(Form):
    """Units of 2 x 2 images of half the size; an image is its cell, enlarged bilinearly. A pixel left over by an odd size is
    black."""

    source: ClassVar[str] = "IDC, section 4.1 (multi-formation, factor 2)"
    cells: ClassVar[int] = ALONG * ALONG

    def latents(self, images: Tensor) -> dict[str, Tensor]:
        size = images.shape[-1]
        half = size // ALONG
        small = F.interpolate(images, size=half, mode="bilinear", antialias=True, align_corners=False)
        rows = small.unflatten(0, (-1, ALONG, ALONG)).permute(0, 3, 1, 4, 2, 5)  # (U, 3, down, half, right, half)
        units = rows.reshape(-1, 3, ALONG * half, ALONG * half)
        rest = size - ALONG * half
        return {"images": F.pad(units, (0, rest, 0, rest))}

    def decode(self, latents: Mapping[str, Tensor]) -> Tensor:
        return enlarged(quarters(latents["images"]).flatten(0, 1), latents["images"].shape[-1])

    def pack(self, latents: Mapping[str, Tensor], normalization: Normalization) -> dict[str, Tensor]:
        return {"images": normalization.denormalize(latents["images"])}

    def read(self, packed: Mapping[str, Tensor], cells: Tensor) -> Tensor:
        units = packed["images"]
        own = quarters(units)[torch.arange(len(units)), cells]
        return (enlarged(own.float() / 255, units.shape[-1]) * 255).round().to(torch.uint8)


def quarters(units: Tensor) -> Tensor:
    """(U, 4, 3, H, H): the cells of units (U, 3, S, S), row by row, H = S // 2."""
    half = units.shape[-1] // ALONG
    whole = units[..., : ALONG * half, : ALONG * half].unflatten(-1, (ALONG, half)).unflatten(-3, (ALONG, half))
    return whole.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def enlarged(images: Tensor, size: int) -> Tensor:
    """Images (B, 3, H, H) at `size` px a side."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


@hookimpl
def delt_forms() -> dict[str, type[Form]]:
    return {"mosaic": Mosaic}
