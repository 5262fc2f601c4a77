"""Real images as RDED's and DELT's code sees those that have the dataset's size already: enlarged, and cut to the centre."""

from __future__ import annotations

from torch import Tensor

from delt_host.contracts.dataset import Split
from delt_host.images.zoom import zoom


class Zoomed(Split):
    """A split of which `read` gives images of S pixels a side enlarged to S // 7 * 8 and cut to their centre."""

    def __init__(self, split: Split) -> None:
        self.split, self.targets, self.weights = split, split.targets, split.weights

    def read(self, indices: Tensor) -> Tensor:
        images = self.split.read(indices)
        return zoom(images, images.shape[-1])

    def original(self, index: int) -> Tensor:
        return self.split.original(index)
