"""Relabelers: a teacher's answers to every view, stored or asked for; one label an image; the class alone."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from delt_host import Answer, Batch, Problem, Relabeler


class Fkd(Relabeler):
    """Fast knowledge distillation: the teacher labels every view once, in float16, and the views are stored with them."""

    source: ClassVar[str] = "SRe2L, section 3.3, after Shen and Xing, ECCV 2022 (FKD)"

    def bind(self, problem: Problem) -> Answer:
        return lambda batch: problem.teacher_logits(batch.images)


class Online(Relabeler):
    """No stored labels: the teacher runs at every training step, as RDED and DELT do."""

    source: ClassVar[str] = "RDED, validation/main.py; DELT, evaluation/main.py"
    stores: ClassVar[bool] = False

    train_mode: bool = False
    """Leave the teacher in train mode, its statistics drifting, as SRe2L's CIFAR-100 script does by oversight."""

    def bind(self, problem: Problem) -> Answer:
        if not self.train_mode:
            return lambda batch: problem.teacher_logits(batch.images)
        # Its statistics drift with every batch: a network of its own, not the shared one.
        drifting = problem.teacher.network(problem.class_names, problem.compute, problem.models).train()

        def answer(batch: Batch) -> Tensor:
            with problem.compute.autocast():
                logits: Tensor = drifting(batch.images)
            return logits.float()

        return answer


class Fixed(Relabeler):
    """The teacher's probabilities for the whole image, one label an image, whatever the view shows of it.

    A set that brings labels which were learned with its images is trained with those.
    """

    source: ClassVar[str] = "the middle of DD-Ranking's three label regimes"
    asks: ClassVar[Literal["class", "image", "view"]] = "image"
    kind: ClassVar[Literal["logits", "probabilities"]] = "probabilities"

    temperature: float = Field(1.0, gt=0)
    """What the teacher's logits are divided by."""

    def bind(self, problem: Problem) -> Answer:
        return lambda batch: torch.softmax(problem.teacher_logits(batch.images) / self.temperature, dim=1)


class Hard(Relabeler):
    """The class of the image, no teacher."""

    asks: ClassVar[Literal["class", "image", "view"]] = "class"
