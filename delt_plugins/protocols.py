"""What published papers and repositories do with students: their settings, and their quirks as switches.

JPEG and pixels cut to whole numbers belong to the form of the images: ``form.codec``, ``form.rounding``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from delt_host import Protocol, hookimpl

LARGE = ("imagenette", "imagenet100", "imagenet")

RDED_LEARNING_RATES = {
    "mobilenet_v2": 0.0025,
    "efficientnet_b0": 0.002,
    "vgg11": 0.0005,
    "vgg11_bn": 0.0005,
    "alexnet": 1e-4,
    "vit_b_16": 1e-4,
    "swin_v2_t": 1e-4,
}
"""RDED and DELT, evaluation/argument.py: rates that differ from 0.001."""

Datasets = Mapping[str, Mapping[str, Any]]
Schedule = Literal["cosine", "half-cosine", "half-cosine-linear", "step", "constant"]


class DeltPaper(Protocol):
    """The DELT paper's text: batches of 100/50/10 by IPC, cosine decay, crops from 0.08."""

    source: ClassVar[str] = "Shen et al.: DELT, CVPR 2025, arXiv 2411.19946, Table 12"
    datasets: ClassVar[Datasets] = {
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {"randaugment": "m4-n3", "batch_size": 100},
        **dict.fromkeys(LARGE, {"randaugment": "m6-n2"}),
    }

    schedule: Schedule = "cosine"
    """Stepped once an epoch."""
    student_learning_rates: dict[str, float] = Field(default=RDED_LEARNING_RATES)
    """Rates of single students, which go before `learning_rate`."""
    evaluate_every: int = Field(10, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""


class Rded(Protocol):
    """What RDED's repository runs: crops that show the whole image, the best epoch."""

    source: ClassVar[str] = "RDED, validation/main.py and argument.py"
    datasets: ClassVar[Datasets] = {
        "tiny-imagenet": {"batch_size": 100, "batch_size_doubled_from": 0},
        **dict.fromkeys(LARGE, {"shuffle_patches": 2, "min_crop": 0.5}),
    }

    batch_size_doubled_from: int = Field(100, ge=0)
    """RDED doubles its batch for datasets of at least this many classes; 0: never."""
    student_learning_rates: dict[str, float] = Field(default=RDED_LEARNING_RATES)
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


class DeltRepo(Rded):
    """What the DELT repository runs: RDED's code with crops from 0.08 and RandAugment."""

    source: ClassVar[str] = "DELT, evaluation/main.py and argument.py"
    datasets: ClassVar[Datasets] = {
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {"randaugment": "m4-n3", "batch_size": 100, "batch_size_doubled_from": 0},
        "imagenette": {"randaugment": "m6-n2"},
        "imagenet100": {"randaugment": "m6-n2"},
        "imagenet": {"randaugment": "m6-n2", "min_crop": 0.25},
    }

    min_crop: float = Field(0.08, gt=0, le=1)
    """The least share of the area that a resized crop shows."""


class Gvbsm(Protocol):
    """G-VBSM on ImageNet-1K: squared error of the committee's mean logits and a little of the hard label."""

    source: ClassVar[str] = "Shao et al.: G-VBSM, CVPR 2024, arXiv 2311.17950, and its scripts"
    datasets: ClassVar[Datasets] = {
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


class Edc(Gvbsm):
    """EDC: G-VBSM's with small batches, weaker crops, a rate that ends at half, and the student's average tested."""

    source: ClassVar[str] = "Shao et al.: EDC, NeurIPS 2024, arXiv 2404.13733, and its scripts"
    datasets: ClassVar[Datasets] = dict.fromkeys(LARGE, {"shuffle_patches": 2})

    batch_size: int = Field(100, ge=0)
    """Never more than the images that IPC says."""
    schedule: Schedule = "half-cosine"
    """Stepped once an epoch."""
    min_crop: float = Field(0.5, gt=0, le=1)
    """The least share of the area that a resized crop shows."""
    hard_weight: float = Field(0.025, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss."""
    average: float = Field(0.99, ge=0, lt=1)
    """Test the exponential moving average of the student's weights, of this decay a step."""


class Sre2l(Protocol):
    """SRe2L's FKD on ImageNet-1K: full cosine, batches of 1024, the best epoch."""

    source: ClassVar[str] = "Yin et al.: SRe2L, NeurIPS 2023, arXiv 2306.13092, and its scripts for small sets"
    datasets: ClassVar[Datasets] = {
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


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"delt-paper": DeltPaper, "delt-repo": DeltRepo, "rded": Rded, "gvbsm": Gvbsm, "edc": Edc, "sre2l": Sre2l}
