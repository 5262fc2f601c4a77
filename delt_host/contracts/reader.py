"""Images that are read by index: real splits and distilled sets alike, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class ImageReader(ABC):
    """Labels in memory, images read by index."""

    targets: Tensor
    """(N,) int64 class indices."""
    weights: Tensor | None = None
    """(N,) float32: what each image counts for students, 1 on average; None: all alike."""

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} images)"

    @abstractmethod
    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,), as uint8 RGB (B, 3, S, S)."""
