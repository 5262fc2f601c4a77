"""Differentiable siamese augmentation: one of six operations a batch, drawn as data, applied to real and synthetic alike.

Zhao and Bilen, ICML 2021 (arXiv 2102.08259), section 3, with the ranges of the authors' code. Everything works on normalised
images, zeros being what lies outside, and is linear or smooth in the pixels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")
EVERY_OPERATION = "_".join(OPERATIONS)
"""The strategy of all six operations, DSA's own."""

BRIGHTNESS, SATURATION, CONTRAST = 1.0, 2.0, 0.5
CROP, CUTOUT = 0.125, 0.5  # shares of the side
SCALE, ROTATE = 1.2, 15.0  # largest factor, largest degrees


def parse_strategy(text: str) -> tuple[str, ...]:
    """The operations of ``color_crop_cutout``; ValueError for one that is none of the six, or none at all."""
    names = tuple(text.split("_"))
    if wrong := [name for name in names if name not in OPERATIONS]:
        raise ValueError(f"{wrong[0]!r} is no siamese augmentation; it is some of {EVERY_OPERATION}, joined by _")
    return names


def draw(rng: torch.Generator, count: int, strategy: str = EVERY_OPERATION) -> tuple[int, Tensor]:
    """The operation of a batch, as a place in `OPERATIONS`, and uniform draws (count, 3) in 0..1 for it.

    With `count` 1 the draw is one for all images, which is what makes it siamese.
    """
    names = parse_strategy(strategy)
    chosen = names[int(torch.randint(len(names), (1,), generator=rng))]
    return OPERATIONS.index(chosen), torch.rand(count, 3, generator=rng)


def augment(images: Tensor, operation: int, draws: Tensor) -> Tensor:
    """Images (B, 3, S, S), normalised, under a drawn operation; `draws` (B, 3), or (1, 3) for one draw for all."""
    name, (first, second, third) = OPERATIONS[operation], draws.to(images.device).view(-1, 3, 1, 1, 1).unbind(1)
    if name == "color":
        return _colour(images, first, second, third)
    if name == "crop":
        return _crop(images, first.flatten(), second.flatten())
    if name == "cutout":
        return _cutout(images, first.flatten(), second.flatten())
    if name == "flip":
        return torch.where(first < 0.5, images.flip(3), images)
    first, second, zero = first.flatten(), second.flatten(), torch.zeros_like(first.flatten())
    if name == "scale":
        wide, high = (u * (SCALE - 1 / SCALE) + 1 / SCALE for u in (first, second))
        return _affine(images, torch.stack([wide, zero, zero, zero, high, zero], dim=1))
    angle = (first - 0.5) * 2 * ROTATE * math.pi / 180
    turned = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]
    return _affine(images, torch.stack(turned, dim=1))


def _colour(images: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    images = images + (brightness - 0.5) * BRIGHTNESS
    grey = images.mean(dim=1, keepdim=True)
    images = (images - grey) * (saturation * SATURATION) + grey
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (contrast + CONTRAST) + mean


def _crop(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shifted by up to an eighth of the side, zeros coming in: rows and columns picked from a padded image."""
    size = images.shape[-1]
    reach = int(size * CROP + 0.5)
    padded = F.pad(images, (reach, reach, reach, reach))
    steps = torch.arange(size, device=images.device)
    rows, columns = ((u * (2 * reach + 1)).long().clamp_max(2 * reach)[:, None] + steps for u in (down, right))
    if len(rows) == 1:
        return padded[:, :, rows[0]][:, :, :, columns[0]]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """A square of half the side set to zero; its centre may lie anywhere, so that part of it may lie outside."""
    size = images.shape[-1]
    side = int(size * CUTOUT + 0.5)
    steps = torch.arange(size, device=images.device)
    inside = []
    for u in (y, x):
        start = (u * (size + 1 - side % 2)).long()[:, None] - side // 2
        inside.append((steps >= start) & (steps < start + side))
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


def _affine(images: Tensor, matrix: Tensor) -> Tensor:
    matrix = matrix.view(-1, 2, 3).expand(len(images), -1, -1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), align_corners=False)
