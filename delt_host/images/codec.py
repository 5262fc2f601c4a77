"""JPEG as Pillow writes it, which the published sets are stored as."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image


def through_jpeg(pixels: Tensor, quality: int) -> Tensor:
    """`pixels` (N, 3, S, S) uint8 RGB as Pillow's JPEG leaves them; `quality` is 1 to 95, its own default 75."""
    images = []
    for image in pixels:
        buffer = io.BytesIO()
        to_pil_image(image).save(buffer, "JPEG", quality=quality)
        images.append(pil_to_tensor(Image.open(buffer, formats=["JPEG"])))
    return torch.stack(images)
