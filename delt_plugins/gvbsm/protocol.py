"""The protocol `gvbsm`: how G-VBSM's scripts train students."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Protocol, Schedule


class Gvbsm(Protocol):
    """G-VBSM on ImageNet-1K: squared error of the committee's mean logits and a little of the hard label."""

    source: ClassVar[str] = "Shao et al.: G-VBSM, CVPR 2024, arXiv 2311.17950, and its scripts"
    datasets: ClassVar = {
        "cifar10": {"epochs": 1000, "batch_size": 100, "weight_decay": 0.0, "hard_weight": 0.15},
        "cifar100": {
            "epochs": 1000,
            "batch_size": 64,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
            "hard_weight": 0.15,
        },
        # Published as batches of 100 whose gradients are accumulated over two.
        "tiny-imagenet": {
            "epochs": 100,
            "batch_size": 200,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
        },
    }

    batch_size: int = Field(1024, ge=0)
    """Never more than the images that IPC says."""
    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    decay_biases_and_norms: bool = True
    """Whether weight decay is for parameters of one dimension, too."""
    loss: Literal["kl", "mse"] = "mse"
    """Mean squared error of the logits."""
    hard_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss."""
