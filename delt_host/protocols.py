"""Protocols: named, versioned, hashed settings under which students are trained. A score without one means nothing.

`fair` is ours and the default: the same for every method, last epoch, lossless images. The others are what published
papers and repositories do, their quirks as switches that are off elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from delt_host.entry import digest
from delt_host.errors import InputError, unknown
from delt_host.options import first_problem


class Protocol(BaseModel):
    """How students are trained and measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "fair"
    version: int = 1
    epochs: int = Field(300, ge=1)
    batch_size: int = Field(0, ge=0)
    """0: as `batch_share` says. Never more than the images there are."""
    batch_share: float = Field(0.0, ge=0, le=1)
    """The share of the images in a batch, 10 to 100 of them; 0: RDED's rule, 10 at IPC 1, 50 below IPC 30, else 100."""
    batch_size_doubled_from: int = Field(0, ge=0)
    """RDED doubles its batch for datasets of at least this many classes; 0: never."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(1e-3, gt=0)
    student_learning_rates: dict[str, float] = Field(default_factory=dict)
    """Rates of single students, which go before `learning_rate`."""
    weight_decay: float = Field(0.01, ge=0)
    decay_biases_and_norms: bool = False
    schedule: Literal["cosine", "half-cosine", "half-cosine-linear", "constant"] = "half-cosine"
    """Stepped once an epoch; `half-cosine` ends at half the rate, as RDED's and DELT's code does;
    `half-cosine-linear`: the last sixth of the epochs goes straight to 0 (EDC)."""
    warmup_epochs: int = Field(0, ge=0)
    average: float = Field(0.0, ge=0, lt=1)
    """Test the exponential moving average of the student's weights, of this decay a step (EDC: 0.99); 0: the student."""
    loss: Literal["kl", "mse"] = "kl"
    """`kl`: of the softened answers; `mse`: mean squared error of the logits (G-VBSM, EDC)."""
    hard_weight: float = Field(0.0, ge=0)
    """Weight of the cross-entropy with the image's own class, not mixed, beside the loss (G-VBSM, EDC)."""
    temperature: float = Field(20.0, gt=0)
    multiply_by_temperature_squared: bool = False
    crop: Literal["resized", "pad", "none"] = "resized"
    min_crop: float = Field(0.08, gt=0, le=1)
    flip: bool = True
    mix: Literal["cutmix", "mixup", "none"] = "cutmix"
    mix_alpha: float = Field(1.0, gt=0)
    randaugment: str = ""
    """timm's RandAugment as mMAGNITUDE-nOPERATIONS, e.g. m5-n4; empty: none."""
    shuffle_patches: int = Field(1, ge=1)
    """RDED's patch shuffling on a k x k grid; 1: none."""
    evaluate_every: int = Field(0, ge=0)
    """Test the student every so many epochs to show the best epoch beside the last; 0: the last epoch only."""
    report: Literal["last", "best"] = "last"
    """`best` picks the epoch on the test set: legacy only."""
    legacy_double_forward: bool = False
    """RDED, DELT: every batch passes the student twice in train mode, so BatchNorm's averages move twice."""
    legacy_imagenet_normalization: bool = False
    """RDED, DELT: students see ImageNet's mean and std whatever the teacher was trained with."""
    codec: Literal["lossless", "jpeg-q75"] = "lossless"
    """What the distilled images pass through before students see them."""
    rounding: Literal["nearest", "floor"] = "nearest"
    """How recovered pixels become whole numbers."""

    @field_validator("randaugment")
    @classmethod
    def _randaugment_is_readable(cls, value: str) -> str:
        if value:
            parse_randaugment(value)
        return value

    @property
    def fingerprint(self) -> str:
        """Eight digits that differ whenever a setting does."""
        return digest(self.model_dump())[:8]

    def view_settings(self) -> dict[str, Any]:
        """The settings that stored labels depend on: which views there are, in which batches, normalised how."""
        return {name: getattr(self, name) for name in VIEW_SETTINGS}

    @property
    def title(self) -> str:
        """The name with its version and what was changed, e.g. `fair v2 (epochs=60)`."""
        named = PROTOCOLS.get(self.name)
        changed = "" if named is None else changed_options(named, self)
        return f"{self.name} v{self.version}" + (f" ({changed})" if changed else "")

    def batch_for(self, ipc: int, num_classes: int) -> int:
        """Images in a training batch."""
        rded = 10 if ipc == 1 else 50 if ipc < 30 else 100
        share = min(max(round(self.batch_share * ipc * num_classes), 10), 100)
        size = self.batch_size or (share if self.batch_share else rded)
        if self.batch_size_doubled_from and num_classes >= self.batch_size_doubled_from:
            size *= 2
        return min(size, ipc * num_classes)

    def learning_rate_for(self, student: str) -> float:
        return self.student_learning_rates.get(student, self.learning_rate)


VIEW_SETTINGS = (
    "epochs",
    "batch_size",
    "batch_share",
    "batch_size_doubled_from",
    "crop",
    "min_crop",
    "flip",
    "mix",
    "mix_alpha",
    "randaugment",
    "shuffle_patches",
    "legacy_imagenet_normalization",
)


def changed_options(base: BaseModel, changed: BaseModel) -> str:
    """`a=1, b=2` for the options in which two settings differ."""
    before, after = base.model_dump(), changed.model_dump()
    return ", ".join(f"{k}={v}" for k, v in after.items() if before[k] != v and k not in ("name", "version"))


def parse_randaugment(text: str) -> tuple[float, int]:
    """(magnitude 0..10, operations) of ``m5-n4``."""
    parts = text.split("-")
    if len(parts) != 2 or parts[0][:1] != "m" or parts[1][:1] != "n":
        raise ValueError(f"{text!r} is not of the form m5-n4 (magnitude 0 to 10, operations)")
    try:
        magnitude, operations = float(parts[0][1:]), int(parts[1][1:])
    except ValueError:
        raise ValueError(f"{text!r} is not of the form m5-n4 (magnitude 0 to 10, operations)") from None
    if not (0 <= magnitude <= 10 and operations >= 1):
        raise ValueError(f"{text!r} needs a magnitude of 0 to 10 and at least one operation")
    return magnitude, operations


# RDED and DELT, evaluation/argument.py: rates that differ from 0.001.
RDED_LEARNING_RATES = {
    "mobilenet_v2": 0.0025,
    "efficientnet_b0": 0.002,
    "vgg11": 0.0005,
    "vgg11_bn": 0.0005,
    "alexnet": 1e-4,
    "vit_b_16": 1e-4,
    "swin_v2_t": 1e-4,
}

PROTOCOLS: dict[str, Protocol] = {
    # Tested now and then, so that papers' best epoch stands beside the last one, which is what is reported. Batches of a
    # fifth of the images: RDED's 50 of 100 leave a student two steps an epoch, under-trained after 300 of them.
    "fair": Protocol(name="fair", version=2, batch_share=0.2, evaluate_every=100),
    # The DELT paper's text: batch 100/50/10 by IPC, cosine decay, RandomResizedCrop from 0.08 (its Table 12).
    "delt-paper": Protocol(
        name="delt-paper", schedule="cosine", student_learning_rates=RDED_LEARNING_RATES, evaluate_every=10
    ),
    # What the DELT repository runs.
    "delt-repo": Protocol(
        name="delt-repo",
        batch_size_doubled_from=100,
        student_learning_rates=RDED_LEARNING_RATES,
        evaluate_every=10,
        report="best",
        legacy_double_forward=True,
        legacy_imagenet_normalization=True,
        codec="jpeg-q75",
        rounding="floor",
    ),
    "rded": Protocol(
        name="rded",
        batch_size_doubled_from=100,
        student_learning_rates=RDED_LEARNING_RATES,
        min_crop=1.0,
        evaluate_every=10,
        report="best",
        legacy_double_forward=True,
        legacy_imagenet_normalization=True,
        codec="jpeg-q75",
        rounding="floor",
    ),
    # G-VBSM on ImageNet-1K: squared error of the committee's mean logits and a little of the hard label.
    "gvbsm": Protocol(
        name="gvbsm", batch_size=1024, schedule="cosine", decay_biases_and_norms=True, loss="mse", hard_weight=0.1
    ),
    # EDC: the same with small batches, weaker crops, a rate that ends at half, and the student's average tested.
    "edc": Protocol(
        name="edc",
        batch_size=100,
        min_crop=0.5,
        decay_biases_and_norms=True,
        loss="mse",
        hard_weight=0.025,
        average=0.99,
    ),
    # SRe2L's FKD on ImageNet-1K: full cosine, batch 1024.
    "sre2l": Protocol(
        name="sre2l",
        batch_size=1024,
        schedule="cosine",
        decay_biases_and_norms=True,
        evaluate_every=10,
        report="best",
        codec="jpeg-q75",
        rounding="floor",
    ),
}

# What the named protocols change for single datasets (DELT's scripts, RDED's factor, SRe2L's small-set scripts).
BY_DATASET: dict[str, dict[str, dict[str, Any]]] = {
    "delt-paper": {
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {"randaugment": "m4-n3", "batch_size": 100},
        **dict.fromkeys(("imagenette", "imagenet100", "imagenet"), {"randaugment": "m6-n2"}),
    },
    "delt-repo": {
        "cifar10": {"randaugment": "m5-n4"},
        "tiny-imagenet": {"randaugment": "m4-n3", "batch_size": 100, "batch_size_doubled_from": 0},
        "imagenette": {"randaugment": "m6-n2"},
        "imagenet100": {"randaugment": "m6-n2"},
        "imagenet": {"randaugment": "m6-n2", "min_crop": 0.25},
    },
    "rded": {
        "tiny-imagenet": {"batch_size": 100, "batch_size_doubled_from": 0},
        **dict.fromkeys(("imagenette", "imagenet100", "imagenet"), {"shuffle_patches": 2, "min_crop": 0.5}),
    },
    "gvbsm": {
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
    },
    "edc": dict.fromkeys(("imagenette", "imagenet100", "imagenet"), {"shuffle_patches": 2}),
    "sre2l": {
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
    },
}


def protocol(name: str, dataset: str, changes: Mapping[str, Any]) -> Protocol:
    """The named protocol as it is run on a dataset, with the user's changes. InputError for unknown names or values."""
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    published = BY_DATASET.get(name, {}).get(dataset, {})
    try:
        return Protocol(**{**PROTOCOLS[name].model_dump(), **published, **changes})
    except ValidationError as error:
        raise InputError(first_problem(error, "protocol", Protocol)) from None
