"""What Pillow does to one image, done to a batch of them: changes of levels, blends, and affine moves, on any device.

Every image has parameters of its own. Images are uint8 RGB (B, 3, S, S), arguments (B,) float. Levels are worked out as
Pillow's C code does, cut to whole numbers where it cuts; tests compare both image by image. On a device that has no float64
(Apple's) a stretched or moved level may be one off.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from delt_host.basics.accelerator import widest

NEAREST, BILINEAR, BICUBIC = 0, 1, 2
"""How a move looks up a place between pixels."""
GREY = (19595, 38470, 7471)
"""Pillow's weights of red, green and blue in a grey level, of 65,536."""
FIXED = 65536
"""Pillow's nearest neighbour counts places in so many parts of a pixel."""
LOST = 1e-4
"""Of a level: what float32 may lose of a whole one in sums of weights, before what follows the point is cut off."""


def to_levels(values: Tensor) -> Tensor:
    """uint8: within 0..255, what follows the point cut off."""
    return values.clamp(0, 255).to(torch.uint8)


def blend(plain: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """`ImageEnhance`: from `plain`, float levels, at factor 0 through the image at 1 and beyond."""
    return to_levels(plain + _by_image(factor).float() * (images.float() - plain))


def grey(images: Tensor) -> Tensor:
    """(B, 1, S, S) float32 of whole levels: `convert("L")`. Its sums stay below 2^24, up to which float32 is exact."""
    red, green, blue = images.float().unbind(dim=1)
    total = red.mul_(GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).add_(FIXED // 2)
    return total.div_(FIXED).floor_().unsqueeze(1)


def color(images: Tensor, factor: Tensor) -> Tensor:
    return blend(grey(images), images, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    return to_levels(_by_image(factor).float() * images)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Around the mean of the grey image, to the nearest level."""
    levels = grey(images).flatten(1)
    count = levels.shape[1]
    nearest = (2 * levels.long().sum(dim=1) + count) // (2 * count)  # exact, on devices without float64, too
    return blend(_by_image(nearest).float(), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """The smooth image is that of `ImageFilter.SMOOTH`, to the nearest level, its border as it was."""
    smooth = images.float()
    lines = smooth[:, :, :-2] + smooth[:, :, 1:-1] + smooth[:, :, 2:]
    total = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:] + 4 * smooth[:, :, 1:-1, 1:-1]
    smooth[:, :, 1:-1, 1:-1] = (total / 13 + 0.5).floor_()
    return blend(smooth, images, factor)


def invert(images: Tensor, _argument: Tensor) -> Tensor:
    return 255 - images


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """So many bits are kept; none leave black."""
    return images & (256 - 2 ** (8 - _by_image(bits).int())).to(torch.uint8)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    return images ^ 255 * (images >= _by_image(threshold)).view(torch.uint8)


def solarize_add(images: Tensor, added: Tensor) -> Tensor:
    """timm's: darker levels than 128 become brighter, by no more than 127."""
    return images + _by_image(added).to(torch.uint8) * (images < 128).view(torch.uint8)


def autocontrast(images: Tensor, _argument: Tensor) -> Tensor:
    """Each channel's darkest level becomes 0 and its brightest 255."""
    wide = widest(images.device)
    low, high = (each.to(wide) for each in images.flatten(2).aminmax(dim=2, keepdim=True))
    levels = torch.arange(256, dtype=wide, device=images.device)
    scale = torch.full_like(high, 255) / (high - low).clamp_min(1)  # 255.0 / tensor would round twice
    return _look_up(images, torch.where(high > low, levels * scale - low * scale, levels))


def equalize(images: Tensor, _argument: Tensor) -> Tensor:
    """Each channel's levels spread so that they are about equally frequent."""
    flat = images.flatten(2).long()
    counts = torch.zeros(*flat.shape[:2], 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(2, flat, torch.ones_like(flat))
    brightest = counts.gather(2, flat.amax(dim=2, keepdim=True))
    step = (flat.shape[2] - brightest) // 255
    spread = (step // 2 + counts.cumsum(dim=2) - counts) // step.clamp_min(1)
    return _look_up(images, torch.where(step > 0, spread, torch.arange(256, device=images.device)))


def _look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Each level replaced by that of its channel's table (B, 3, 256)."""
    return to_levels(tables).gather(2, images.flatten(2).long()).view_as(images)


def rotation(degrees: Tensor, size: int) -> Tensor:
    """(B, 6) float64: `Image.rotate` about the centre."""
    angle, centre = -degrees.double().deg2rad(), size / 2
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, sin, centre - centre * (cos + sin), -sin, cos, centre - centre * (cos - sin)], dim=1)


def shear_x(share: Tensor, _size: int) -> Tensor:
    """(B, 6) float64: a line is taken from `share` x its height to the right."""
    return _still(share, 1)


def shear_y(share: Tensor, _size: int) -> Tensor:
    return _still(share, 3)


def translate_x(pixels: Tensor, _size: int) -> Tensor:
    """(B, 6) float64: what is seen is taken from so many pixels to the right."""
    return _still(pixels, 2)


def translate_y(pixels: Tensor, _size: int) -> Tensor:
    return _still(pixels, 5)


def _still(values: Tensor, place: int) -> Tensor:
    """Matrices that move nothing, but for one place."""
    matrix = STILL.flatten().repeat(len(values), 1)
    matrix[:, place] = values
    return matrix


STILL = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64)
"""A matrix that moves nothing: its row of x and its row of y."""


Kind = tuple[int, bool, bool]
"""How a move looks up a place, and whether it is along x and along y: what is done to images of one kind is done at once."""


def kinds(matrix: Tensor, resample: Tensor) -> list[Kind]:
    """The kind of each move by matrices (B, 6) float64; both lie on the CPU."""
    x, y = ((row != still).any(dim=1).tolist() for row, still in zip(matrix.split(3, dim=1), STILL, strict=True))
    return list(zip(resample.tolist(), x, y, strict=True))


def move(images: Tensor, matrix: Tensor, fill: Tensor, kind: Kind) -> Tensor:
    """`Image.transform` by affine matrices (B, 6), float as `widest` says, from places seen to places taken, all of one kind.

    `fill` (B, 3) is what is seen outside. Moved along one axis, a pixel is made of others of its own row or column, all of
    which go as far.
    """
    resample, moves_x, moves_y = kind
    size, (a, b, c, d, e, f) = images.shape[-1], matrix.T[:, :, None, None]
    column = torch.arange(size, device=images.device)
    row = column[:, None]
    c, f = c + 0.5 * (a + b), f + 0.5 * (d + e)
    if resample == NEAREST:
        a, b, c, d, e, f = ((each * FIXED + 0.5).floor() / FIXED for each in (a, b, c, d, e, f))
    # How far from its own place each pixel is taken.
    right = (c + b * row + (a - 1) * column) if moves_y else c + b * row
    down = (f + d * column + (e - 1) * row) if moves_x else f + d * column
    inside = torch.ones(1, 1, dtype=torch.bool, device=images.device)
    columns: list[tuple[Tensor | None, Tensor]] = [(None, column)]
    rows: list[tuple[Tensor | None, Tensor]] = [(None, row)]
    if moves_x:
        inside = inside & (column + right >= 0) & (column + right < size)
        columns = _taps(right, column, resample, size)
    if moves_y:
        inside = inside & (row + down >= 0) & (row + down < size)
        rows = _taps(down, row, resample, size)
    red, green, blue = images.int().flatten(2).unbind(dim=1)
    packed = red | green << 8 | blue << 16  # looked up as one
    total = torch.zeros(len(images), 3, size, size, device=images.device)
    for down_weight, line in rows:
        for right_weight, place in columns:
            index = (line * size + place).expand(len(images), size, size).flatten(1)
            taken = packed.gather(1, index).view(len(images), size, size)
            weights = [each for each in (right_weight, down_weight) if each is not None]
            weight = reduce(torch.mul, weights) if weights else torch.ones(1, 1, device=images.device)
            for channel, levels in enumerate((taken & 255, taken >> 8 & 255, taken >> 16)):
                total[:, channel].addcmul_(levels.float(), weight)
    outside = (~inside).float().expand(len(images), size, size)[:, None]
    total.mul_(1 - outside).addcmul_(outside, fill[:, :, None, None].float())
    return to_levels(total.add_(LOST))


def _taps(offset: Tensor, pixel: Tensor, resample: int, size: int) -> list[tuple[Tensor | None, Tensor]]:
    """The weights and places, along an axis, of the pixels that one is made of; without weight it is one alone."""
    if resample == NEAREST:
        return [(None, (offset.floor().long() + pixel).clamp(0, size - 1))]
    start = (offset - 0.5).floor()
    first, d = start.long() + pixel, (offset - 0.5 - start).float()
    weights = [1 - d, d]
    if resample == BICUBIC:  # Pillow's moves have a = -1, its resizing -0.5
        first = first - 1
        weights = [d * (-1 + d * (2 - d)), 1 + d * d * (d - 2), d * (1 + d * (1 - d)), d * d * (d - 1)]
    return [(weight, (first + at).clamp(0, size - 1)) for at, weight in enumerate(weights)]


def _by_image(values: Tensor) -> Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
