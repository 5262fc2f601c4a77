"""Datasets, one file each, and the table that lists them."""

from __future__ import annotations

from delt_host.data.base import Dataset, MemorySplit, RealData, Split
from delt_host.data.digits import Digits
from delt_host.data.folder import ImageFolder
from delt_host.data.tiny_imagenet import TinyImageNet
from delt_host.data.torchvision_sets import Cifar10, Cifar100, ImageNet, ImageNet100, Imagenette

DATASETS: dict[str, type[Dataset]] = {
    "digits": Digits,
    "folder": ImageFolder,
    "cifar10": Cifar10,
    "cifar100": Cifar100,
    "tiny-imagenet": TinyImageNet,
    "imagenette": Imagenette,
    "imagenet100": ImageNet100,
    "imagenet": ImageNet,
}

__all__ = ["DATASETS", "Dataset", "MemorySplit", "RealData", "Split"]
