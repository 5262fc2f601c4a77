"""MobileNet-V2 (Sandler et al., CVPR 2018) for small images, in the two forms that papers of this field have."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torchvision import models

from delt_plugins.networks.stems import SMALL_IMAGE, draw_convolutions

Activation = Callable[[], nn.Module]
WIDTHS, BLOCKS, EXPANSION, LAST = (16, 24, 32, 64, 96, 160, 320), (1, 2, 3, 4, 3, 3, 1), 6, 1280
"""Of the seven groups: channels, and how many blocks; by how much blocks widen, all but the first; channels of the end."""


class SmallMobileNetV2(nn.Module):
    """A stem, seven groups of blocks, a 1 x 1 convolution to `LAST` channels, global average pooling, a classifier.

    The first block has its 1 x 1 convolution, although it widens by one: torchvision's has none. Tensors are named as G-VBSM's.
    """

    def __init__(
        self, stem: nn.Conv2d, strides: tuple[int, ...], width: float, activation: Activation, classifier: nn.Sequential
    ) -> None:
        """`strides` are those of each group's first block, `width` what `WIDTHS` are multiplied with. Convolutions have
        biases where the stem has them."""
        super().__init__()
        bias, channels = stem.bias is not None, stem.out_channels
        self.conv1 = nn.Sequential(stem, nn.BatchNorm2d(channels), activation())
        groups: list[nn.Module] = []
        for nth, (full, count, stride) in enumerate(zip(WIDTHS, BLOCKS, strides, strict=True)):
            blocks: list[nn.Module] = []
            for first in (True, *[False] * (count - 1)):
                wide = channels * (EXPANSION if nth else 1)
                blocks.append(_Block(channels, wide, int(full * width), stride if first else 1, bias, activation))
                channels = int(full * width)
            groups.append(nn.Sequential(*blocks))
        self.blocks = nn.ModuleList(groups)
        self.conv2 = nn.Sequential(nn.Conv2d(channels, LAST, 1, bias=bias), nn.BatchNorm2d(LAST), activation())
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv1(images)
        for group in self.blocks:
            maps = group(maps)
        logits: Tensor = self.classifier(self.conv2(maps).mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """1 x 1 convolution that widens, 3 x 3 of each channel, 1 x 1 that narrows; around it a shortcut where shapes allow."""

    def __init__(self, channels: int, wide: int, width: int, stride: int, bias: bool, activation: Activation) -> None:
        super().__init__()
        self.shortcut = stride == 1 and channels == width
        self.conv = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=bias),
            nn.BatchNorm2d(wide),
            activation(),
            nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=bias),
            nn.BatchNorm2d(wide),
            activation(),
            nn.Conv2d(wide, width, 1, bias=bias),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.shortcut else out


def mobilenet_v2(num_classes: int, image_size: int) -> nn.Module:
    """MobileNet-V2; at 64 px and below `mobilenet_v2_modified` of DELT, which halves images three times, else torchvision's."""
    if image_size > SMALL_IMAGE:
        return models.mobilenet_v2(weights=None, num_classes=num_classes)
    stem = nn.Conv2d(3, 32, 1, padding=1)  # the padding of a 1 x 1 stem widens the image by two pixels, as published
    classifier = nn.Sequential(nn.Unflatten(1, (LAST, 1, 1)), nn.Conv2d(LAST, num_classes, 1), nn.Flatten())
    return SmallMobileNetV2(stem, (1, 2, 2, 2, 1, 1, 1), 1.0, nn.ReLU6, classifier)


def mobilenet_v2_half(num_classes: int, image_size: int) -> nn.Module:
    """MobileNet-V2 of half the width, which halves small images four times: `MobileNetV2` of G-VBSM and EDC.

    It is the same at every image size.
    """
    stem = nn.Conv2d(3, 16, 3, 2, padding=1, bias=False)
    classifier = nn.Linear(LAST, num_classes)
    network = SmallMobileNetV2(stem, (1, 1, 2, 2, 1, 2, 1), 0.5, nn.ReLU, nn.Sequential(classifier))
    draw_convolutions(network)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    return network
