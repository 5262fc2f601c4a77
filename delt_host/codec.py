"""JPEG as Pillow writes it, which the published sets are stored as."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def through_jpeg(pixels: Tensor, quality: int) -> Tensor:
    """uint8 images (N, 3, S, S) as Pillow's JPEG leaves them; its own default quality is 75."""
    images = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=quality)
        images.append(torch.from_numpy(np.array(Image.open(buffer, formats=["JPEG"]))).permute(2, 0, 1))
    return torch.stack(images)
