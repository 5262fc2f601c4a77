"""The protocol `rded`: what RDED's repository does with students, quirks included."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Protocol

LARGE = ("imagenette", "imagenet100", "imagenet")

STUDENT_LEARNING_RATES = {
    "mobilenet_v2": 0.0025,
    "efficientnet_b0": 0.002,
    "vgg11": 0.0005,
    "vgg11_bn": 0.0005,
    "alexnet": 1e-4,
    "vit_b_16": 1e-4,
    "swin_v2_t": 1e-4,
}
"""RDED and DELT, evaluation/argument.py: rates that differ from 0.001."""


class Rded(Protocol):
    """What RDED's repository runs: crops that show the whole image, the best epoch."""

    source: ClassVar[str] = "RDED, validation/main.py and argument.py"
    datasets: ClassVar = {
        "tiny-imagenet": {"batch_size": 100, "batch_size_doubled_from": 0},
        **dict.fromkeys(LARGE, {"shuffle_patches": 2, "min_crop": 0.5}),
    }

    batch_size_doubled_from: int = Field(100, ge=0)
    """RDED doubles its batch for datasets of at least this many classes; 0: never."""
    student_learning_rates: dict[str, float] = Field(default=STUDENT_LEARNING_RATES)
    """Rates of single students, which go before `learning_rate`."""
    min_crop: float = Field(1.0, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
    legacy_double_forward: bool = True
    """Every batch passes the student twice in train mode, so BatchNorm's averages move twice."""
    legacy_imagenet_normalization: bool = True
    """Students see ImageNet's mean and std whatever the teacher was trained with."""
