"""The protocol `sre2l`: how SRe2L's repository trains students."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Protocol, Schedule


class Sre2l(Protocol):
    """SRe2L's FKD on ImageNet-1K: full cosine, batches of 1024, the best epoch."""

    source: ClassVar[str] = "Yin et al.: SRe2L, NeurIPS 2023, arXiv 2306.13092, and its scripts for small sets"
    datasets: ClassVar = {
        "cifar100": {
            "epochs": 400,
            "batch_size": 128,
            "mix": "mixup",
            "mix_alpha": 0.8,
            "temperature": 30.0,
            "crop": "pad",
        },
        "tiny-imagenet": {
            "epochs": 100,
            "batch_size": 256,
            "optimizer": "sgd",
            "learning_rate": 0.2,
            "weight_decay": 1e-4,
            "warmup_epochs": 5,
            "mix": "none",
            "multiply_by_temperature_squared": True,
        },
    }

    batch_size: int = Field(1024, ge=0)
    """Never more than the images that IPC says."""
    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    decay_biases_and_norms: bool = True
    """Whether weight decay is for parameters of one dimension, too."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
