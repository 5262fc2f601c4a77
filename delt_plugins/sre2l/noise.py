"""SRe2L's start: Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from delt_host import Initializer, Problem, Start


class Noise(Initializer):
    """Independent standard normal pixels in normalised space."""

    source: ClassVar[str] = "SRe2L, recover scripts"
    dtype: ClassVar[torch.dtype] = torch.float32

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        shape, count = (3, problem.image_size, problem.image_size), problem.count
        places = [label * count + nth for label in classes for nth in range(count)]  # of all classes' images
        return Start(torch.stack([torch.randn(shape, generator=problem.generator("noise", place)) for place in places]))
