"""TEMPORARY stand-in until the models package arrives: overwrite me."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

Builder = Callable[[int, int], nn.Module]


class ConvNet(nn.Module):
    def __init__(self, depth, num_classes, image_size, width=128):
        super().__init__()
        layers = []
        c = 3
        for _ in range(depth):
            layers += [
                nn.Conv2d(c, width, 3, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                nn.AvgPool2d(2),
            ]
            c = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * (image_size // 2**depth) ** 2, num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def build_model(name, num_classes, image_size, extra=None):
    if name.startswith("convnet"):
        return ConvNet(int(name[7:]), num_classes, image_size)
    import torchvision

    m = torchvision.models.get_model(name, num_classes=num_classes)
    if name.startswith("resnet"):
        m.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        m.maxpool = nn.Identity()
    return m


def pretrained_model(name, weights):
    raise NotImplementedError
