"""The protocol `sre2l`: how SRe2L's repositories train students, and CDA's with them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Decayed, Protocol, Schedule


class Sre2l(Protocol):
    """SRe2L's FKD on ImageNet-1K: full cosine, batches of 1024 in two parts, the best epoch."""

    version: ClassVar[int] = 2
    source: ClassVar[str] = (
        "Yin et al.: SRe2L, NeurIPS 2023, arXiv 2306.13092: validate/train_FKD.py, relabel_cifar.py, and train_kd.py of the "
        "repository zeyuanyin/tiny-imagenet"
    )
    datasets: ClassVar = {
        "cifar100": {
            "epochs": 400,
            "batch_size": 128,
            "accumulate": 1,
            "decayed": "all",
            "mix": "mixup",
            "mix_alpha": 0.8,
            "temperature": 30.0,
            "crop": "pad",
            "report": "last",
        },
        "tiny-imagenet": {
            "epochs": 100,
            "batch_size": 256,
            "accumulate": 1,
            "optimizer": "sgd",
            "learning_rate": 0.2,
            "weight_decay": 1e-4,
            "decayed": "all",
            "warmup_epochs": 5,
            "warmup_from": 0.01,
            "mix": "none",
            "multiply_by_temperature_squared": True,
            "evaluate_every": 1,
        },
    }

    batch_size: int = Field(1024, ge=0)
    """Never more than the images that IPC says."""
    accumulate: int = Field(2, ge=1)
    """Parts of a batch that pass one after the other before the optimiser steps: BatchNorm sees 512 images (train_FKD.sh)."""
    decayed: Decayed = "weights"
    """Which parameters weight decay is for."""
    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    evaluate_counted_from: int = Field(0, ge=0, le=1)
    """The first of so many epochs."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
