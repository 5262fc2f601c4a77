"""Inputs that tests and the makers of golden figures both make: by arithmetic, so that no version of torch draws others."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def waves(*shape: int, pitch: float = 0.37, low: float = -1.0, high: float = 1.0) -> Tensor:
    """A float32 tensor of values from `low` to `high` without a short period."""
    count = torch.arange(math.prod(shape), dtype=torch.float64)
    unit = 0.5 + 0.25 * ((count * pitch).sin() + (count * pitch * 0.618 + 0.5).cos())
    return (low + (high - low) * unit).view(shape).float()


@torch.no_grad()
def set_weights(network: nn.Module) -> None:
    """Give every tensor of a network values that depend on its place in the order of parameters and buffers alone.

    Weights are of the size that keeps signals finite, norms near one, running variances positive.
    """
    for place, (name, parameter) in enumerate(network.named_parameters()):
        if parameter.ndim > 1:
            fan = parameter[0].numel()
            parameter.copy_(waves(*parameter.shape, pitch=0.37 + 0.01 * (place % 17)) * math.sqrt(6 / fan))
        else:
            centre = 1.0 if name.endswith("weight") else 0.0
            parameter.copy_(centre + 0.1 * waves(*parameter.shape, pitch=0.5 + 0.01 * (place % 13)))
    for place, (name, buffer) in enumerate(network.named_buffers()):
        if buffer.is_floating_point():
            centre = 1.0 if "var" in name else 0.0
            buffer.copy_(centre + 0.2 * waves(*buffer.shape, pitch=0.61 + 0.01 * (place % 11)))


class SmallNetwork(nn.Module):
    """Three strided convolutions with BatchNorm, and a linear layer: what published loops recover images of in a second."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 8), (8, 16), (16, 16)):
            layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(16, classes)
        set_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


def made_crop(step: int, size: int) -> tuple[int, int, int, int]:
    """A box (top, left, height, width) within a square image, another in each step."""
    height, width = size - 3 * step % (size // 2), size - 5 * step % (size // 2)
    return 7 * step % (size - height + 1), 11 * step % (size - width + 1), height, width


def made_mirror(step: int) -> bool:
    """Whether a step mirrors."""
    return step % 3 == 1


def made_shift(step: int, low: int, high: int) -> tuple[int, int]:
    """Down and right, each from `low` to `high`, both ends included."""
    return low + 5 * step % (high - low + 1), low + 3 * (step + 1) % (high - low + 1)


def made_levels(count: int, size: int) -> Tensor:
    """(count, 3, size, size) uint8: images of all levels."""
    return waves(count, 3, size, size, low=0, high=255).round().to(torch.uint8)


def made_order(count: int) -> Tensor:
    """A permutation (count,) int64 in which nothing keeps its place, for `count` from 4 on."""
    return torch.arange(count).roll(count // 2 - 1)


def tiny_student() -> nn.Module:
    """A network of every kind of parameter that protocols treat apart, for images of 8 px and 10 classes.

    Without a bias before BatchNorm, of which the gradient is rounding alone.
    """
    with torch.random.fork_rng(devices=[]):
        layers = [nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(4)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 10))
    set_weights(network)
    return network


def tiny_teacher() -> nn.Module:
    """Who answers the tiny student's images: linear, so that it has no statistics."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    set_weights(network)
    return network


def student_batches(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """`count` images (B, 3, 8, 8) with their classes (B,), in batches of `size`; the last may be smaller."""
    images, classes = waves(count, 3, 8, 8, pitch=0.43), torch.arange(count) * 7 % 10
    return list(zip(images.split(size), classes.split(size), strict=True))


class FirstOfTwo(nn.Sequential):
    """A network (B, 3, 12, 12) -> (B, 10) with BatchNorms, whose last convolution sees a map of 6 x 6."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 5, 3, padding=1),
            nn.Flatten(),
            nn.Linear(180, 10),
        )
        set_weights(self)


class SecondOfTwo(nn.Sequential):
    """The same shapes with norms that keep no statistics."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.GroupNorm(4, 4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.GroupNorm(6, 6),
            nn.Flatten(),
            nn.Linear(216, 10),
        )
        set_weights(self)


def ten_classes(count: int, size: int = 12) -> tuple[Tensor, Tensor]:
    """`count` uint8 images (count, 3, size, size) and their classes 0, 1, … 9, 0, …"""
    pixels = waves(count, 3, size, size, pitch=0.61, low=0.0, high=255.0)
    return pixels.round().to(torch.uint8), torch.arange(count) % 10


def picture(number: int, height: int, width: int) -> Tensor:
    """An image (3, height, width) uint8, another one for each number."""
    levels = waves(3, height, width, pitch=0.05 + 0.013 * (number % 7), low=0, high=256)
    return levels.roll(31 * number).clamp(0, 255).to(torch.uint8)


def square(number: int, height: int, width: int) -> tuple[int, int, int]:
    """(top, left, side) of a box within a picture, for each of its crops."""
    side = 12 + 5 * number % (min(height, width) - 11)
    return 3 * number % (height - side + 1), 7 * number % (width - side + 1), side


def linear(size: int, classes: int) -> nn.Module:
    """A network of images of `size` pixels a side that is not sure of anything."""
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes))
    set_weights(network)
    return network
