"""The protocol `dsa`: how students of dataset condensation are trained, with one label an image.

Zhao and Bilen: Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021 (arXiv 2102.08259), the evaluation of
their code; MTT, DATM and most methods that match gradients, trajectories or distributions report under it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from delt_host import Decayed, Protocol, Schedule, hookimpl
from delt_host.toolbox import EVERY_OPERATION


class Dsa(Protocol):
    """A thousand and one epochs of SGD, begun anew at a tenth of the rate after 502 of them; views are augmented by one of six
    operations a batch, and by nothing else."""

    version: ClassVar[int] = 2
    source: ClassVar[str] = "Zhao and Bilen, ICML 2021, arXiv 2102.08259: evaluation with --method DSA"

    epochs: int = Field(1001, ge=1)
    """Over as many images as IPC says."""
    batch_size: int = Field(256, ge=0)
    """Never more than the images that IPC says."""
    optimizer: str = "sgd"
    """adamw, sgd, or any optimizer of timm's by its name."""
    learning_rate: float = Field(0.01, gt=0)
    """At first. A rate that was learned with the images goes before it."""
    weight_decay: float = Field(5e-4, ge=0)
    """Of all parameters."""
    decayed: Decayed = "all"
    """Which parameters weight decay is for."""
    schedule: Schedule = "step"
    """A tenth of the rate from the milestone on."""
    milestones: list[float] = Field(default=[502 / 1001])
    """Where the rate falls, as shares of the epochs: after epoch 501, which utils.py's `Epoch//2+1` is."""
    step_restarts: bool = True
    """Whether the optimiser begins anew there."""
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
