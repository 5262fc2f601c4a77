"""The protocol `edc`: how EDC's scripts train students."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from delt_host import Schedule
from delt_plugins.gvbsm.committee import LARGE
from delt_plugins.gvbsm.protocol import Gvbsm


class Edc(Gvbsm):
    """EDC: G-VBSM's with small batches, weaker crops, a rate that ends at half, and the student's average tested."""

    source: ClassVar[str] = "Shao et al.: EDC, NeurIPS 2024, arXiv 2404.13733, and its scripts"
    datasets: ClassVar = dict.fromkeys(LARGE, {"shuffle_patches": 2})

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
