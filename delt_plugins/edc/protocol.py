"""The protocol `edc`: how the scripts of each of EDC's branches train students."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from delt_host import Schedule
from delt_plugins.gvbsm.protocol import Gvbsm

SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.875, "weight_decay": 5e-4}
"""CIFAR-100's and Tiny-ImageNet's scripts; direct_train.py:149 has the momentum."""

RANDAUGMENT = {"randaugment": "torchvision-m9-n2"}
"""transforms.RandAugment() of each direct_train.py: torchvision's defaults, before the crop."""


class Edc(Gvbsm):
    """EDC on ImageNet-1K: G-VBSM's with small batches, weaker crops, a rate that ends at half, and the student's average
    tested.

    Its script asks for a cosine there and gets a straight line: the chain of train_FKD_parallel.py:274 begins anew after it.
    """

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Shao et al.: EDC, NeurIPS 2024, arXiv 2404.13733, train/*.py and *.sh of each branch"
    # Batches: the scripts for 10 images a class of CIFAR-100 and ImageNet-10 say 50, that for one of CIFAR-10 says 10.
    datasets: ClassVar = {
        "cifar10": {
            "epochs": 1000,
            "batch_size": 50,
            "min_crop": 0.08,
            "schedule": "step",
            "milestones": [0.8, 0.9, 0.95],
            "step_factor": 0.5,
            "evaluate_every": 10,
            "evaluate_after": 0.8,
            **RANDAUGMENT,
        },
        "cifar10 ipc 1": {"batch_size": 10},
        "cifar100": {
            **SGD,
            **RANDAUGMENT,
            "epochs": 1000,
            "batch_size": 50,
            "schedule": "half-cosine-linear",
            "evaluate_every": 100,
        },
        "tiny-imagenet": {**SGD, **RANDAUGMENT, "schedule": "half-cosine"},
        "tiny-imagenet ipc 1": {"epochs": 1000},
        # The branch of ImageNet-10, another ten classes.
        "imagenette": {**RANDAUGMENT, "epochs": 1000, "batch_size": 50, "schedule": "half-cosine-linear"},
    }

    batch_size: int = Field(100, ge=0)
    """Never more than the images that IPC says."""
    accumulate: int = Field(1, ge=1)
    """Parts of a batch that pass one after the other before the optimiser steps."""
    schedule: Schedule = "half-linear"
    """Stepped once an epoch."""
    min_crop: float = Field(0.5, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    hard_weight: float = Field(0.025, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss."""
    average: float = Field(0.99, ge=0, lt=1)
    """Test the exponential moving average of the student's parameters, of this decay a step."""
    evaluate_every: int = Field(30, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
