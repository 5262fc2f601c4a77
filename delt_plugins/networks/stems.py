"""torchvision networks with stems for small images, as SRe2L, RDED and DELT use them for CIFAR and Tiny-ImageNet."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision import models
from torchvision.models.mobilenetv2 import InvertedResidual

SMALL_IMAGE = 64
"""Images of at most this many pixels a side get the small stem."""


def resnet(name: str, num_classes: int, image_size: int) -> nn.Module:
    """A torchvision ResNet; at 64 px and below with a 3 x 3 stem of stride 1 and no max pooling. Keys stay torchvision's."""
    network = models.get_model(name, weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network


def shufflenet_v2_x0_5(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ShuffleNet-V2 x0.5; at 64 px and below with a stem of stride 1 and no max pooling."""
    network = models.shufflenet_v2_x0_5(weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.conv1[0] = nn.Conv2d(3, 24, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network


def vgg11_bn(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's VGG-11 with BatchNorm; at 64 px and below with one linear layer behind global average pooling."""
    network = models.vgg11_bn(weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Linear(512, num_classes)
    return network


def mobilenet_v2(num_classes: int, image_size: int) -> nn.Module:
    """MobileNet-V2; at 64 px and below RDED's and DELT's `mobilenet_v2_modified`."""
    if image_size <= SMALL_IMAGE:
        return SmallMobileNetV2(num_classes)
    return models.mobilenet_v2(weights=None, num_classes=num_classes)


class SmallMobileNetV2(nn.Module):
    """Stem 1 x 1, then inverted residuals that halve the image three times in all, then a 1 x 1 classifier.

    RDED, DELT: `mobilenet_v2_modified`; there the convolutions also have biases, which the BatchNorm behind each cancels.
    """

    # (expansion, channels, blocks, stride of the first)
    SETTING = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 1),
        (6, 320, 1, 1),
    )

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        # Padding of a 1 x 1 stem widens the image by two pixels, as published.
        layers: list[nn.Module] = [
            nn.Conv2d(3, 32, 1, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU6(inplace=True),
        ]
        channels = 32
        for expansion, width, blocks, stride in self.SETTING:
            for block in range(blocks):
                layers.append(InvertedResidual(channels, width, stride if block == 0 else 1, expansion))
                channels = width
        layers += [nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6(inplace=True)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Conv2d(1280, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.features(images).mean(dim=(2, 3), keepdim=True)
        logits: Tensor = self.classifier(pooled).flatten(1)
        return logits
