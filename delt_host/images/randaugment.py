"""RandAugment with its draws made by our generators, so that views can be stored and replayed, in batches on any device.

Two kinds are published under this name. timm's, as DELT's evaluation calls it (``rand-mM-nN-mstd1.0``): operations uniform
from fifteen with replacement, each applied with probability 0.5 at a magnitude of N(M, 1) clipped to 0..10, filled with
ImageNet's mean, bilinear or bicubic at random. And torchvision's with its defaults, as EDC's small-set scripts call it:
operations uniform from fourteen, all at one magnitude of 31 bins, filled with black, nearest. What is drawn of either is an
operation, its argument and how it looks up a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.images import pillow

MOVES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "Rotate": pillow.rotation,
    "ShearX": pillow.shear_x,
    "ShearY": pillow.shear_y,
    "TranslateX": pillow.translate_x,
    "TranslateY": pillow.translate_y,
}
LEVELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "AutoContrast": pillow.autocontrast,
    "Equalize": pillow.equalize,
    "Invert": pillow.invert,
    "Posterize": pillow.posterize,
    "Solarize": pillow.solarize,
    "SolarizeAdd": pillow.solarize_add,
    "Brightness": pillow.brightness,
    "Contrast": pillow.contrast,
    "Color": pillow.color,
    "Sharpness": pillow.sharpness,
}
OPERATIONS = ("Identity", *LEVELS, *MOVES)
"""What a stored `operation` counts through."""
CODE = {name: code for code, name in enumerate(OPERATIONS)}
TORCHVISION = tuple(name for name in OPERATIONS if name not in ("Invert", "SolarizeAdd"))
BINS = 31  # of torchvision's magnitudes
FILL = torch.tensor([(0, 0, 0), (124, 116, 104), (124, 116, 104)], dtype=torch.uint8)
"""By how a pixel is looked up: torchvision's default is nearest on black, and DELT hands timm ImageNet's mean."""


@dataclass(frozen=True)
class RandAugment:
    """One of the two kinds with its numbers."""

    magnitude: float
    """0 to 10 for timm's, a bin of 0 to 30 for torchvision's."""
    number: int
    """Operations an image."""
    torchvision: bool = False

    def draw(self, rng: torch.Generator, count: int, size: int) -> dict[str, Tensor]:
        """For `count` images of `size` pixels a side, (count, n) each: `operation` uint8 into `OPERATIONS`; `argument` float32
        in the operation's own unit: degrees, a share, pixels, bits, a level or a factor; `resample` uint8 of `pillow`."""
        shape = (count, self.number)
        sign = torch.randint(2, shape, generator=rng).double() * 2 - 1
        if self.torchvision:
            of, level = torchvision_arguments(sign, size, int(self.magnitude)), torch.zeros(shape)
            applied, resample = torch.ones(shape, dtype=torch.bool), torch.full(shape, pillow.NEAREST)
        else:
            level = (self.magnitude + torch.randn(shape, generator=rng)).clamp(0, 10)
            of = timm_arguments(level, sign, size)
            applied = torch.rand(shape, generator=rng) < 0.5
            resample = torch.randint(pillow.BILINEAR, pillow.BICUBIC + 1, shape, generator=rng)
        codes = torch.tensor([CODE[name] for name in of])
        drawn = torch.randint(len(of), shape, generator=rng)
        argument = torch.stack(list(of.values())).gather(0, drawn[None])[0]
        operation = torch.where(applied, codes[drawn], CODE["Identity"])
        return {
            "operation": operation.to(torch.uint8),
            "argument": argument.float(),
            "resample": resample.to(torch.uint8),
        }


def parse_randaugment(text: str) -> RandAugment:
    """What ``m5-n4`` (timm's) and ``torchvision-m9-n2`` stand for. ValueError for other words."""
    found = re.fullmatch(r"(torchvision-)?m([0-9]+(?:\.[0-9]+)?)-n([0-9]+)", text)
    if not found:
        raise ValueError(
            f"{text!r} is neither of the form m5-n4 (magnitude 0 to 10, operations), which is timm's, nor torchvision-m9-n2"
        )
    magnitude, number, torchvision = float(found[2]), int(found[3]), bool(found[1])
    if torchvision and (magnitude not in range(BINS) or number < 1):
        raise ValueError(f"{text!r} needs a whole magnitude of 0 to {BINS - 1} and at least one operation")
    if (magnitude > 10 and not torchvision) or number < 1:
        raise ValueError(f"{text!r} needs a magnitude of 0 to 10 and at least one operation")
    return RandAugment(magnitude, number, torchvision)


def timm_arguments(level: Tensor, sign: Tensor, size: int) -> dict[str, Tensor]:
    """For each of its fifteen operations the argument at levels of 0..10 and signs of ±1, as LEVEL_TO_ARG of
    ``timm.data.auto_augment`` has them for this preset."""
    share = level.double() / 10
    none, factor = torch.zeros_like(share), share * 1.8 + 0.1
    return {
        **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), none),
        "Posterize": (share * 4).floor(),
        "Solarize": (share * 256).floor(),
        "SolarizeAdd": (share * 110).floor(),
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), factor),
        "Rotate": sign * share * 30,
        **dict.fromkeys(("ShearX", "ShearY"), sign * share * 0.3),
        **dict.fromkeys(("TranslateX", "TranslateY"), sign * share * 0.45 * size),
    }


def torchvision_arguments(sign: Tensor, size: int, place: int) -> dict[str, Tensor]:
    """For each of its fourteen operations the argument at bin `place` and signs of ±1, as `_augmentation_space` of
    ``torchvision.transforms.RandAugment`` has them; it
    says where to pixels are shifted, Pillow from where."""
    none, part = torch.zeros_like(sign), place / (BINS - 1)
    return {
        **dict.fromkeys(("Identity", "AutoContrast", "Equalize"), none),
        "Posterize": none + 8 - round(part * 4),
        "Solarize": none + 255 * (1 - part),
        **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), 1 + sign * part * 0.9),
        "Rotate": sign * part * 30,
        **dict.fromkeys(("ShearX", "ShearY"), sign * part * 0.3),
        **dict.fromkeys(("TranslateX", "TranslateY"), -sign * float(int(part * 150 / 331 * size))),
    }


def apply_operations(images: Tensor, operation: Tensor, argument: Tensor, resample: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S), on any device, after their operations (B, n), which lie on the CPU."""
    size = images.shape[-1]
    for codes, arguments, how in zip(operation.T, argument.T, resample.T, strict=True):
        of: dict[str, list[int]] = {}
        for place, code in enumerate(codes.tolist()):
            of.setdefault(OPERATIONS[code], []).append(place)
        done, order, moves = [], [], []
        for name, places in of.items():
            chosen = torch.tensor(places)
            if name in MOVES:
                moves.append((chosen, MOVES[name](arguments[chosen], size)))
                continue
            taken = images.index_select(0, chosen.to(images.device))
            done.append(LEVELS[name](taken, arguments[chosen].to(images.device)) if name in LEVELS else taken)
            order.append(chosen)
        if moves:
            chosen, matrix = (torch.cat(parts) for parts in zip(*moves, strict=True))
            taken = images.index_select(0, chosen.to(images.device))
            done.append(pillow.move(taken, matrix, how[chosen], FILL[how[chosen].long()]))
            order.append(chosen)
        images = torch.cat(done).index_select(0, torch.cat(order).argsort().to(images.device))
    return images
