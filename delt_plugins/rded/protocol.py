"""The protocol `rded`: what RDED's repository does with students, quirks included."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Decayed, Protocol

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
"""RDED and DELT, argument.py: rates that differ from 0.001."""

SMALL = {"cifar100 convnet3": {"batch_size": 25, "batch_size_doubled_from": 0, "learning_rate": 0.002}}
"""Their `special experiment`, of a ConvNet-3 that a ConvNet-3 taught."""


class Rded(Protocol):
    """What RDED's repository runs: crops that show the whole image, the best epoch."""

    version: ClassVar[int] = 2
    source: ClassVar[str] = "RDED, validation/main.py and argument.py"
    datasets: ClassVar = {
        **SMALL,
        "tiny-imagenet": {"batch_size": 100, "batch_size_doubled_from": 0, "test_zoom": True},
        **dict.fromkeys(LARGE, {"shuffle_patches": 2, "min_crop": 0.5}),
        # ImageNet's own validation set has 50 images a class, ImageNette's 357 to 419.
        "imagenette": {"shuffle_patches": 2, "min_crop": 0.5, "test_images": 50},
    }

    batch_size_doubled_from: int = Field(100, ge=0)
    """RDED doubles its batch for datasets of at least this many classes; 0: never."""
    student_learning_rates: dict[str, float] = Field(default=STUDENT_LEARNING_RATES)
    """Rates of single students, which go before `learning_rate`."""
    decayed: Decayed = "weights"
    """Which parameters weight decay is for."""
    min_crop: float = Field(1.0, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    evaluate_after: float = Field(0.8, ge=0, le=1)
    """The share of the epochs up to which none is tested."""
    report: Literal["last", "best"] = "best"
    """`best` picks the epoch on the test set: legacy only."""
    legacy_double_forward: bool = True
    """Every batch passes the student twice in train mode, so BatchNorm's averages move twice."""
    legacy_imagenet_normalization: bool = True
    """Students see ImageNet's mean and std whatever the teacher was trained with."""
