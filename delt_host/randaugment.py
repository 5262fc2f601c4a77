"""timm's RandAugment with its draws made by our generators, so that a view can be stored and replayed.

The operations are timm's own (`timm.data.auto_augment.NAME_TO_OP`); only the drawing is ours: n operations an image,
uniform with replacement from fifteen, each applied with probability 0.5 at a magnitude of N(m, 1) clipped to 0..10, with
a random sign where the operation has a direction (the preset ``rand-mM-nN-mstd1.0`` of DELT's evaluation).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MAX_LEVEL = 10.0

# Operation: from (level 0..10, sign) to timm's arguments, as its LEVEL_TO_ARG gives them for this preset.
OPERATIONS: dict[str, Callable[[float, int], tuple[float, ...]]] = {
    "AutoContrast": lambda level, sign: (),
    "Equalize": lambda level, sign: (),
    "Invert": lambda level, sign: (),
    "Rotate": lambda level, sign: (sign * level / MAX_LEVEL * 30.0,),
    # timm goes down to 0 bits, an all-black image, which Pillow has come to refuse: at least one bit is kept.
    "Posterize": lambda level, sign: (max(int(level / MAX_LEVEL * 4), 1),),
    "Solarize": lambda level, sign: (min(256, int(level / MAX_LEVEL * 256)),),
    "SolarizeAdd": lambda level, sign: (min(128, int(level / MAX_LEVEL * 110)),),
    "Color": lambda level, sign: (level / MAX_LEVEL * 1.8 + 0.1,),
    "Contrast": lambda level, sign: (level / MAX_LEVEL * 1.8 + 0.1,),
    "Brightness": lambda level, sign: (level / MAX_LEVEL * 1.8 + 0.1,),
    "Sharpness": lambda level, sign: (level / MAX_LEVEL * 1.8 + 0.1,),
    "ShearX": lambda level, sign: (sign * level / MAX_LEVEL * 0.3,),
    "ShearY": lambda level, sign: (sign * level / MAX_LEVEL * 0.3,),
    "TranslateXRel": lambda level, sign: (sign * level / MAX_LEVEL * 0.45,),
    "TranslateYRel": lambda level, sign: (sign * level / MAX_LEVEL * 0.45,),
}
NAMES = tuple(OPERATIONS)
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


def apply_operations(pixels: Tensor, operation: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S) after their operations, one image after the other, as Pillow does them."""
    from timm.data.auto_augment import NAME_TO_OP  # timm takes a second to import

    result = []
    rows = zip(pixels, operation.tolist(), level.tolist(), sign.tolist(), strict=True)
    for image, operations, levels, signs in rows:
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        for index, at, direction in zip(operations, levels, signs, strict=True):
            if at == SKIPPED:
                continue
            name = NAMES[index]
            options = {"fillcolor": (128, 128, 128), "resample": Image.Resampling.BILINEAR}
            moves = name in ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")
            operate: Any = NAME_TO_OP[name]
            picture = operate(picture, *OPERATIONS[name](at, direction), **(options if moves else {}))
        result.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    return torch.stack(result)
