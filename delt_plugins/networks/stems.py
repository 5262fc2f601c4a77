"""torchvision networks with stems for small images, as SRe2L, RDED and DELT use them for CIFAR and Tiny-ImageNet."""

from __future__ import annotations

from torch import nn
from torchvision import models

SMALL_IMAGE = 64
"""Images of at most this many pixels a side get the small stem."""


def draw_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions anew, as He et al. (ICCV 2015) do for ReLU, by the outputs that each weight has."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _resnet(name: str, num_classes: int, image_size: int) -> nn.Module:
    network = models.get_model(name, weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network


def resnet18(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ResNet-18; at 64 px and below its stem is 3 x 3 of stride 1 and nothing pools after it:
    `resnet18_modified` of RDED and DELT, SRe2L's and CDA's, `ResNet18` of G-VBSM and EDC.
    """
    return _resnet("resnet18", num_classes, image_size)


def resnet34(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ResNet-34; at 64 px and below its stem is 3 x 3 of stride 1 and nothing pools after it."""
    return _resnet("resnet34", num_classes, image_size)


def resnet50(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ResNet-50; at 64 px and below its stem is 3 x 3 of stride 1 and nothing pools after it: `ResNet50` of
    G-VBSM and EDC.
    """
    return _resnet("resnet50", num_classes, image_size)


def resnet101(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ResNet-101; at 64 px and below its stem is 3 x 3 of stride 1 and nothing pools after it:
    `resnet101_modified` of RDED and DELT, `ResNet101` of G-VBSM and EDC.
    """
    return _resnet("resnet101", num_classes, image_size)


def shufflenet_v2_x0_5(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's ShuffleNet-V2 x0.5; at 64 px and below with a stem of stride 1 and no max pooling."""
    network = models.shufflenet_v2_x0_5(weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.conv1[0] = nn.Conv2d(3, 24, kernel_size=3, stride=1, padding=1, bias=False)
        network.maxpool = nn.Identity()
    return network


def shufflenet_v2_half(num_classes: int, image_size: int) -> nn.Module:
    """ShuffleNet-V2 x0.5 with a stem of 1 x 1 and no max pooling, at every image size: `ShuffleNetV2_0_5` of G-VBSM and EDC."""
    network = models.shufflenet_v2_x0_5(weights=None, num_classes=num_classes)
    network.conv1[0] = nn.Conv2d(3, 24, kernel_size=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def vgg11_bn(num_classes: int, image_size: int) -> nn.Module:
    """torchvision's VGG-11 with BatchNorm; at 64 px and below with one linear layer behind global average pooling."""
    network = models.vgg11_bn(weights=None, num_classes=num_classes)
    if image_size <= SMALL_IMAGE:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Linear(512, num_classes)
    return network
