"""The handwritten digits that scikit-learn ships: 1,797 real 8 x 8 images, so that a first run needs no download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field

from delt_host import Dataset, MemorySplit, RealData, Services
from delt_host.toolbox import NO_SERVICES, in_memory

TEST_EVERY = 4  # of each class, every fourth image is a test image
WHITE = 16  # scikit-learn's digits count 0 to 16


class Digits(Dataset):
    """Ten classes; grey, enlarged to `image_size` and repeated over three channels; every fourth image tests."""

    location: ClassVar[str] = ""
    reported: ClassVar[bool] = False

    image_size: int = Field(16, ge=8, le=512)
    """Pixels a side that the images of 8 px are enlarged to."""

    @property
    def suggested(self) -> Mapping[str, Any]:
        # Small enough for a first run of a minute on two cores, long enough that the methods differ.
        return {
            "teacher.model": "convnet3",
            "teacher.epochs": 8,
            "committee": ("convnet3", "convnet4"),
            "scheduler.iterations": 120,
            "protocol.epochs": 40,
            "protocol.dsa.batch_size": 20,  # as many steps as `fair`: published ones are for larger images and longer
        }

    def load(self, services: Services = NO_SERVICES) -> RealData:
        from sklearn.datasets import load_digits

        bundle = load_digits()
        grey = torch.from_numpy(bundle.images).float()[:, None] / WHITE
        enlarged = F.interpolate(grey, size=self.image_size, mode="bilinear", align_corners=False)
        images = (enlarged * 255).round().to(torch.uint8).repeat(1, 3, 1, 1)
        targets = torch.from_numpy(bundle.target).long()
        test = torch.zeros(len(targets), dtype=torch.bool)
        for label in range(10):
            test[torch.nonzero(targets == label).flatten()[TEST_EVERY - 1 :: TEST_EVERY]] = True
        names = tuple(str(label) for label in range(10))
        train_split, test_split = MemorySplit(images[~test], targets[~test]), MemorySplit(images[test], targets[test])
        return in_memory("digits", names, train_split, test_split)
