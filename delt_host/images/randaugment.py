"""timm's RandAugment with its draws made by our generators, so that a view can be stored and replayed.

The operations are timm's own (`timm.data.auto_augment.NAME_TO_OP`); only the drawing is ours: n operations an image,
uniform with replacement from fifteen, each applied with probability 0.5 at a magnitude of N(m, 1) clipped to 0..10, with
a random sign where the operation has a direction (the preset ``rand-mM-nN-mstd1.0`` of DELT's evaluation).
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

MAX_LEVEL = 10.0

NAMES = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast", "Brightness",
    "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
)  # fmt: skip
MOVES = {"Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateXRel": 0.45, "TranslateYRel": 0.45}
"""Operations with a direction, and how far they go at most."""
SKIPPED = -1.0  # the level of an operation that is not applied


def draw_operations(rng: torch.Generator, count: int, magnitude: float, number: int) -> dict[str, Tensor]:
    """`operation` (count, n) uint8 into `NAMES`, `level` (count, n) float32 in 0..10 or -1, `sign` (count, n) int8."""
    shape = (count, number)
    level = (magnitude + torch.randn(shape, generator=rng)).clamp(0, MAX_LEVEL)
    applied = torch.rand(shape, generator=rng) < 0.5
    return {
        "operation": torch.randint(len(NAMES), shape, generator=rng).to(torch.uint8),
        "level": torch.where(applied, level, SKIPPED),
        "sign": (torch.randint(2, shape, generator=rng) * 2 - 1).to(torch.int8),
    }


def arguments(name: str, level: float, sign: int) -> tuple[float, ...]:
    """timm's arguments of an operation at a level of 0..10, as its LEVEL_TO_ARG gives them for this preset."""
    if name in MOVES:
        return (sign * level / MAX_LEVEL * MOVES[name],)
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return (level / MAX_LEVEL * 1.8 + 0.1,)
    if name == "Posterize":  # timm goes down to 0 bits, an all-black image, which Pillow has come to refuse
        return (max(int(level / MAX_LEVEL * 4), 1),)
    if name == "Solarize":
        return (min(256, int(level / MAX_LEVEL * 256)),)
    return (min(128, int(level / MAX_LEVEL * 110)),) if name == "SolarizeAdd" else ()


def apply_operations(pixels: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) after their operations, one image after the other, as Pillow does them."""
    from timm.data.auto_augment import NAME_TO_OP  # timm takes a second to import

    moving = {"fillcolor": (128, 128, 128), "resample": Image.Resampling.BILINEAR}
    result = []
    rows = zip(pixels, operation.tolist(), level.tolist(), sign.tolist(), strict=True)
    for image, operations, levels, signs in rows:
        picture = to_pil_image(image)
        for index, at, direction in zip(operations, levels, signs, strict=True):
            if at != SKIPPED:
                name = NAMES[index]
                operate: Any = NAME_TO_OP[name]
                picture = operate(picture, *arguments(name, at, direction), **(moving if name in MOVES else {}))
        result.append(pil_to_tensor(picture))
    return torch.stack(result)
