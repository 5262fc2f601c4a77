"""The protocol `dsa`: how students of dataset condensation are trained, with one label an image.

Zhao and Bilen: Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021 (arXiv 2102.08259), the evaluation of
their code; MTT, DATM and most methods that match gradients, trajectories or distributions report under it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Protocol, Schedule, hookimpl
from delt_host.toolbox import EVERY_OPERATION


class Dsa(Protocol):
    """A thousand epochs of SGD, a tenth of the rate from half of them on; views are augmented by one of six operations a batch,
    and by nothing else."""

    source: ClassVar[str] = "Zhao and Bilen, ICML 2021, arXiv 2102.08259: evaluation with --method DSA"

    epochs: int = Field(1000, ge=1)
    """Over as many images as IPC says."""
    batch_size: int = Field(256, ge=0)
    """Never more than the images that IPC says."""
    optimizer: str = "sgd"
    """adamw, sgd, or any optimizer of timm's by its name."""
    learning_rate: float = Field(0.01, gt=0)
    """At first. A rate that was learned with the images goes before it."""
    weight_decay: float = Field(5e-4, ge=0)
    """Of all parameters."""
    decay_biases_and_norms: bool = True
    """Whether weight decay is for parameters of one dimension, too."""
    schedule: Schedule = "step"
    """A tenth of the rate from half of the epochs on."""
    temperature: float = Field(1.0, gt=0)
    """Where labels are logits: cross-entropy with what they say as they are."""
    crop: Literal["resized", "pad", "none"] = "none"
    """None beside the siamese augmentation."""
    flip: bool = False
    """Not beside the siamese augmentation."""
    mix: Literal["cutmix", "mixup", "none"] = "none"
    """Images are not mixed."""
    siamese: str = EVERY_OPERATION
    """One operation a batch of those named."""


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"dsa": Dsa}
