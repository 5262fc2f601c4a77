"""Augmented views as data: drawn from a seeded generator, applied to a whole batch at once, stored and replayed.

Cropping with resize, mirroring, shifting and shuffling strips are linear in the pixels and separable, so a view is two
small matrices: ``view = rows @ image @ columns.T``. That is exact (crop, then bilinear resize with the crop's own
border), differentiable, and needs no loop over images.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

ATTEMPTS = 10  # torchvision's RandomResizedCrop gives up and takes the whole image after ten tries
LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))


def draw_crops(rng: torch.Generator, count: int, size: int, scale: tuple[float, float]) -> Tensor:
    """Boxes (count, 4) int64 of (top, left, height, width) for `RandomResizedCrop(size, scale)` on a size x size image.

    Area share uniform in `scale`, log aspect ratio uniform in log(3/4)..log(4/3), as torchvision draws them; where
    ten tries do not fit, the whole image.
    """
    area = torch.empty(count, ATTEMPTS).uniform_(*scale, generator=rng) * size * size
    ratio = torch.empty(count, ATTEMPTS).uniform_(*LOG_RATIO, generator=rng).exp()
    place = torch.rand(count, 2, generator=rng)
    width, height = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (width > 0) & (width <= size) & (height > 0) & (height <= size)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    width = torch.where(found, width.gather(1, first)[:, 0], size)
    height = torch.where(found, height.gather(1, first)[:, 0], size)
    top = (place[:, 0] * (size - height + 1)).long()
    left = (place[:, 1] * (size - width + 1)).long()
    return torch.stack([top, left, height, width], dim=1)


def draw_offsets(rng: torch.Generator, count: int, size: int) -> Tensor:
    """(2, count) int64: down and right, in pixels, of `RandomCrop(size)` on an image padded by an eighth of its side."""
    reach = size // 8
    return torch.randint(-reach, reach + 1, (2, count), generator=rng)


def crop_matrix(start: Tensor, length: Tensor, size: int) -> Tensor:
    """(B, size, size): row o holds the bilinear weights of output pixel o of the crop [start, start + length).

    `start` and `length` are (B,), in whole pixels. It lies where they do.
    """
    position = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * length[:, None] / size - 0.5
    position = torch.minimum(position.clamp_min(start[:, None].float()), (start + length - 1)[:, None].float())
    low = position.floor()
    weight = (position - low).unsqueeze(-1)
    low = low.long().unsqueeze(-1)
    high = torch.minimum(low + 1, (start + length - 1)[:, None, None])
    matrix = torch.zeros(len(start), size, size, device=start.device)
    matrix.scatter_add_(2, low, 1 - weight)
    matrix.scatter_add_(2, high, weight)
    return matrix


def shift_matrix(offset: Tensor, size: int) -> Tensor:
    """(B, size, size): output pixel o is input pixel o + offset, zero outside: `RandomCrop` of a zero-padded image.

    `offset` is (B,), in whole pixels.
    """
    index = torch.arange(size, device=offset.device)
    return (index[None, :, None] + offset[:, None, None] == index[None, None, :]).float()


def roll_matrix(matrix: Tensor, shift: Tensor) -> Tensor:
    """The matrix followed by a circular shift of each output by its `shift` (B,) in pixels."""
    size = matrix.shape[-1]
    source = (torch.arange(size, device=shift.device) - shift[:, None]) % size
    return matrix.gather(1, source[:, :, None].expand_as(matrix))


def mirror(matrix: Tensor, flips: Tensor) -> Tensor:
    """The matrix (B, size, size) with the output reversed where `flips` (B,) is true."""
    return torch.where(flips[:, None, None], matrix.flip(1), matrix)


def shuffle_strips(matrix: Tensor, order: Tensor) -> Tensor:
    """The matrix preceded by a permutation of k equal strips, `order` (B, k): RDED's ShufflePatches along one axis."""
    size, strips = matrix.shape[-1], order.shape[1]
    width = size // strips
    source = (order[:, :, None] * width + torch.arange(width)).flatten(1)
    rest = torch.arange(width * strips, size).expand(len(order), -1)
    source = torch.cat([source, rest], dim=1)
    # After the permutation, pixel p is what was at source[p]: column source[p] takes the weight of column p.
    return torch.zeros_like(matrix).scatter_(2, source[:, None, :].expand_as(matrix).contiguous(), matrix)


def apply_view(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Views (…, B, C, S, S) of `images` (…, B, C, S, S): ``rows @ image @ columns.T``.

    `rows` and `columns` are (…, B or 1, S, S).
    """
    rows, columns = rows.to(images.device).unsqueeze(-3), columns.to(images.device).unsqueeze(-3)
    return torch.matmul(torch.matmul(rows, images), columns.transpose(-1, -2))


def random_views(
    images: Tensor, rng: torch.Generator, crop: Literal["pad", "resized", "none"], *, flip: bool
) -> Tensor:
    """A view (B, C, S, S) of its own of each of `images` (B, C, S, S), as `random_matrices` draws them."""
    return apply_view(images, *random_matrices(rng, len(images), images.shape[-1], crop, flip=flip))


def random_matrices(
    rng: torch.Generator, count: int, size: int, crop: Literal["pad", "resized", "none"], *, flip: bool
) -> tuple[Tensor, Tensor]:
    """Rows and columns (count, S, S), for `apply_view`, of a view of its own for each image of S = `size` pixels a side, as
    networks are trained on them.

    `pad` is a crop of the image padded by an eighth with zeros, `resized` RandomResizedCrop(0.08, 1); `flip` mirrors half.
    """
    if crop == "pad":
        down, right = draw_offsets(rng, count, size)
        rows, columns = shift_matrix(down, size), shift_matrix(right, size)
    elif crop == "resized":
        box = draw_crops(rng, count, size, (0.08, 1.0))
        rows, columns = crop_matrix(box[:, 0], box[:, 2], size), crop_matrix(box[:, 1], box[:, 3], size)
    else:
        rows = columns = torch.eye(size)[None].expand(count, -1, -1)
    if flip:
        columns = mirror(columns, torch.rand(count, generator=rng) < 0.5)
    return rows, columns


def cutmix_box(rng: torch.Generator, alpha: float, size: int) -> tuple[float, tuple[int, int, int, int]]:
    """One CutMix draw for a batch: lam ~ Beta(alpha, alpha), box (top, left, bottom, right) of area share 1 - lam.

    Side int(size * sqrt(1 - lam)), centre uniform, clipped to the image (Yun et al. 2019; SRe2L's `rand_bbox`).
    The returned lam is the share of the image that keeps its own pixels, after clipping.
    """
    side = int(size * math.sqrt(1 - beta(rng, alpha)))
    y, x = (int(v) for v in torch.randint(size, (2,), generator=rng))
    top, left = max(y - side // 2, 0), max(x - side // 2, 0)
    bottom, right = min(y + side // 2, size), min(x + side // 2, size)
    return 1 - (bottom - top) * (right - left) / size**2, (top, left, bottom, right)


def beta(rng: torch.Generator, alpha: float) -> float:
    """A draw of Beta(alpha, alpha) as a ratio of Gamma draws, which take a generator where torch's Beta does not."""
    a, b = torch._standard_gamma(torch.tensor([alpha, alpha], dtype=torch.float64), generator=rng).tolist()
    return float(a / (a + b)) if a + b > 0 else 0.5
