"""The protocols `delt-paper` and `delt-repo`: the paper's text, and the repository, which is RDED's with other views."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from delt_host import Protocol, Schedule
from delt_plugins.rded.protocol import LARGE, SMALL, STUDENT_LEARNING_RATES, Rded


class DeltPaper(Protocol):
    """The DELT paper's text: batches of 100/50/10 by IPC, cosine decay, crops from 0.08."""

    source: ClassVar[str] = "Shen et al.: DELT, CVPR 2025, arXiv 2411.19946, Table 12"
    datasets: ClassVar = {
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {"randaugment": "m4-n3", "batch_size": 100},
        **dict.fromkeys(LARGE, {"randaugment": "m6-n2"}),
    }

    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    student_learning_rates: dict[str, float] = Field(default=STUDENT_LEARNING_RATES)
    """Rates of single students, which go before `learning_rate`."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""


class DeltRepo(Rded):
    """What the DELT repository runs: RDED's code with crops from 0.08 and RandAugment."""

    version: ClassVar[int] = 2
    source: ClassVar[str] = "DELT, evaluation/validation/main.py and argument.py"
    datasets: ClassVar = {
        **SMALL,
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {
            "randaugment": "m4-n3",
            "batch_size": 100,
            "batch_size_doubled_from": 0,
            "test_zoom": True,
        },
        "imagenette": {"randaugment": "m6-n2", "test_images": 50},
        "imagenet100": {"randaugment": "m6-n2"},
        "imagenet": {"randaugment": "m6-n2", "min_crop": 0.25},
        # Half of the doubled batch.
        **dict.fromkeys(("imagenet100 resnet101", "imagenet resnet101"), {"batch_size_doubled_from": 0}),
    }

    min_crop: float = Field(0.08, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    evaluate_counted_from: int = Field(0, ge=0, le=1)
    """The first of so many epochs."""
    evaluate_after: float = Field(0.0, ge=0, le=1)
    """The share of the epochs up to which none is tested."""
