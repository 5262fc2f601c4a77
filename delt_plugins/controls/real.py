"""Random real images, as a start or as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from delt_host import Initializer, InputError, Problem, Start


class Real(Initializer):
    """Random real training images, without replacement."""

    source: ClassVar[str] = "Qin et al. 2024, arXiv 2406.10485: random images with soft labels beat SRe2L"

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        chosen = []
        for label in classes:
            images = problem.data.train.of_class(label)
            if len(images) < problem.count:
                raise too_few_images(problem.class_names[label], len(images), problem.count)
            rng = problem.generator("real", label)
            chosen.append(images[torch.randperm(len(images), generator=rng)[: problem.count]])
        return Start(problem.data.train.read(torch.cat(chosen)))


def too_few_images(name: str, there: int, wanted: int) -> InputError:
    return InputError(f"class {name!r} has {there} training images, {wanted} images per class were asked for (--ipc)")
