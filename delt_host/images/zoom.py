"""The centre of an enlarged image, which is what RDED's and DELT's code sees of real images: 224 px of 256, 64 of 72."""

from __future__ import annotations

from torch import Tensor
from torchvision.transforms.v2 import functional as transforms


def zoom(images: Tensor, size: int) -> Tensor:
    """`images` (B, 3, H, W) or (3, H, W) uint8 to `size` pixels a side: the short side to size // 7 * 8, then the centre.

    Antialiased bilinear; at sizes like 32, of which size // 7 * 8 is no more, that is the image's centre as it is.
    """
    resized = transforms.resize(images, [max(size // 7 * 8, size)], antialias=True)
    return transforms.center_crop(resized, [size, size])
