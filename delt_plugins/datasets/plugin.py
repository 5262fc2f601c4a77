"""Datasets by name."""

from __future__ import annotations

from delt_host import Dataset, hookimpl
from delt_plugins.datasets.digits import Digits
from delt_plugins.datasets.folder import ImageFolder
from delt_plugins.datasets.tiny_imagenet import TinyImageNet
from delt_plugins.datasets.torchvision_sets import Cifar10, Cifar100, ImageNet, ImageNet100, Imagenette


@hookimpl
def delt_datasets() -> dict[str, type[Dataset]]:
    return {
        "digits": Digits,
        "folder": ImageFolder,
        "cifar10": Cifar10,
        "cifar100": Cifar100,
        "tiny-imagenet": TinyImageNet,
        "imagenette": Imagenette,
        "imagenet100": ImageNet100,
        "imagenet": ImageNet,
    }
