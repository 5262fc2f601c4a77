"""RandAugment with its draws made by our generators, so that views can be stored and replayed, in batches on any device.

Two kinds are published under this name. timm's, as DELT's evaluation calls it (``rand-mM-nN-mstd1.0``): operations uniform
from fifteen with replacement, each applied with probability 0.5 at a magnitude of N(M, 1) clipped to 0..10, filled with
ImageNet's mean, bilinear or bicubic at random. And torchvision's with its defaults, as EDC's small-set scripts call it:
operations uniform from fourteen, all at one magnitude of 31 bins, filled with black, nearest. What is drawn of either is an
operation, its argument and how it looks up a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from delt_host.basics.accelerator import moved, widest
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


class Round(NamedTuple):
    """One operation of each of B images, alike ones beside each other: what is done to them all is an operator's."""

    alike: list[tuple[str | pillow.Kind, int]]
    """An operation of levels, or a kind of move, and how many images have it, in their order."""
    order: Tensor
    """(B,) int64: their places after the round before."""
    given: Tensor
    """(B, 6), float as `widest` says: a move's matrix, or an argument in the first place."""
    fill: Tensor
    """(B, 3) uint8: what a move sees outside of its image."""


class Planned(NamedTuple):
    """Rounds one after the other, and the places (B,) of the first, second, … image after the last."""

    rounds: list[Round]
    back: Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """All of them, so that they may be moved together."""
        return [*(each for done in self.rounds for each in done[1:]), self.back]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Planned:
        """The same with these tensors, which lie elsewhere."""
        *parts, back = tensors
        parted = zip(self.rounds, parts[::3], parts[1::3], parts[2::3], strict=True)
        return Planned([Round(done.alike, *moved) for done, *moved in parted], back)


def planned(operation: Tensor, argument: Tensor, resample: Tensor, size: int, device: str) -> Planned:
    """What `apply_planned` does to images of `size` pixels a side on a device for these draws (B, n); all on the CPU."""
    rounds, place = [], torch.arange(len(operation))
    for codes, arguments, how in zip(operation.T, argument.T, resample.T, strict=True):
        names = [OPERATIONS[code] for code in codes.tolist()]
        given, of = torch.zeros(len(names), 6, dtype=torch.float64), dict[str, list[int]]()
        given[:, 0] = arguments
        for number, name in enumerate(names):
            of.setdefault(name, []).append(number)
        for name in MOVES.keys() & of.keys():
            given[of[name]] = MOVES[name](arguments[of[name]], size)
        kinds = pillow.kinds(given, how)
        alike = [kind if name in MOVES else name for name, kind in zip(names, kinds, strict=True)]
        order = sorted(range(len(alike)), key=lambda each: str(alike[each]))
        runs = [(what, len(list(run))) for what, run in groupby(alike[each] for each in order)]
        chosen = torch.tensor(order)
        fill = FILL[how[chosen].long()]
        rounds.append(Round(runs, place[chosen], given[chosen].to(widest(device)), fill))
        place = chosen.argsort()
    return Planned(rounds, place)


def apply_planned(images: Tensor, plan: Planned) -> Tensor:
    """uint8 images (B, 3, S, S) after their operations, which lie where they do."""
    for alike, order, given, fill in plan.rounds:
        whats, counts = zip(*alike, strict=True)
        parts = zip(images.index_select(0, order).split(counts), given.split(counts), fill.split(counts), strict=True)
        images = torch.cat([_done(*part, what) for part, what in zip(parts, whats, strict=True)])
    return images.index_select(0, plan.back)


def _done(images: Tensor, given: Tensor, fill: Tensor, what: str | pillow.Kind) -> Tensor:
    if not isinstance(what, str):
        return pillow.move(images, given, fill, what)
    return LEVELS[what](images, given[:, 0].float()) if what in LEVELS else images


def apply_operations(images: Tensor, operation: Tensor, argument: Tensor, resample: Tensor) -> Tensor:
    """uint8 images (B, 3, S, S), on any device, after their operations (B, n), which lie on the CPU."""
    plan = planned(operation, argument, resample, images.shape[-1], images.device.type)
    return apply_planned(images, plan.with_tensors(moved(images.device, *plan.tensors)))
