"""The protocol `gvbsm`: how G-VBSM's scripts train students."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Decayed, Protocol, Schedule


class Gvbsm(Protocol):
    """G-VBSM on ImageNet-1K: squared error of the committee's mean logits and a little of the hard label, the best epoch."""

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Shao et al.: G-VBSM, CVPR 2024, arXiv 2311.17950, train/*.py and train.sh of each branch"
    datasets: ClassVar = {
        "cifar10": {
            "epochs": 1000,
            "batch_size": 100,
            "accumulate": 1,
            "weight_decay": 0.0,
            "hard_weight": 0.15,
        },
        "cifar100": {
            "epochs": 1000,
            "batch_size": 64,
            "accumulate": 1,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
            "hard_weight": 0.15,
        },
        "tiny-imagenet": {
            "epochs": 100,
            "batch_size": 100,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "weight_decay": 5e-4,
        },
    }

    batch_size: int = Field(1024, ge=0)
    """Never more than the images that IPC says."""
    accumulate: int = Field(2, ge=1)
    """Parts of a batch: two on Tiny-ImageNet, as its script says, and on ImageNet-1K, whose script has two GPUs."""
    decayed: Decayed = "weights"
    """Which parameters weight decay is for."""
    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    loss: Literal["kl", "mse"] = "mse"
    """Mean squared error of the logits."""
    hard_weight: float = Field(0.1, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    evaluate_counted_from: int = Field(0, ge=0, le=1)
    """The first of so many epochs."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
