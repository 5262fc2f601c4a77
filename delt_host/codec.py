"""What the pixels of a distilled set pass through before students see them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from delt_host.components import Distilled


def through_codec(distilled: Distilled, codec: str) -> Distilled:
    """The images after `lossless`, or `jpeg-q75`: Pillow's default JPEG, which the published sets are stored as."""
    if codec == "lossless":
        return distilled
    return replace(distilled, pixels=through_jpeg(distilled.pixels, 75))


def through_jpeg(pixels: Tensor, quality: int) -> Tensor:
    """uint8 images (N, 3, S, S) as Pillow's JPEG leaves them; its own default quality is 75."""
    images = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(buffer, "JPEG", quality=quality)
        images.append(torch.from_numpy(np.array(Image.open(buffer, formats=["JPEG"]))).permute(2, 0, 1))
    return torch.stack(images)
