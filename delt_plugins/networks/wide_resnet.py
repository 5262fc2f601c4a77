"""Wide ResNets for small images (Zagoruyko and Komodakis, BMVC 2016): WRN-16-2, one of G-VBSM's committee."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from delt_plugins.networks.stems import draw_convolutions


class _Block(nn.Module):
    """BatchNorm, ReLU and 3 x 3 convolution, twice; the shortcut is a 1 x 1 convolution where the width changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(channels, width, 1, stride, bias=False) if channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        result: Tensor = out + (x if self.shortcut is None else self.shortcut(active))
        return result


class WideResNet(nn.Module):
    """WRN-`depth`-`widen`: three groups of (depth - 4) / 6 blocks, 16, 32 and 64 channels times `widen`."""

    def __init__(self, depth: int, widen: int, num_classes: int) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 16
        for stage in range(3):
            for block in range((depth - 4) // 6):
                width = 16 * 2**stage * widen
                blocks.append(_Block(channels, width, 2 if stage and block == 0 else 1))
                channels = width
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, num_classes)
        draw_convolutions(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.blocks(self.stem(images))))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


def wrn_16_2(num_classes: int, image_size: int) -> nn.Module:
    """Wide ResNet of 16 layers, twice as wide, for images of any size: `WRN_16_2` of G-VBSM and EDC."""
    return WideResNet(16, 2, num_classes)
