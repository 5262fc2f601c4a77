"""The committees that G-VBSM and EDC ask, and labels that are the mean of their logits."""

from __future__ import annotations

import json
from typing import ClassVar

import torch
from torch import Tensor

from delt_host import Answer, Batch, Problem
from delt_plugins.labels.relabelers import Fkd

# Recover and relabel scripts: their own ResNet18, ConvNetW128, MobileNetV2, WRN_16_2 and ShuffleNetV2_0_5; torchvision's.
SMALL_POOL = ("resnet18", "convnet3_in", "mobilenet_v2_half", "wrn_16_2", "shufflenet_v2_half")
LARGE_POOL = ("resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5")
LARGE = ("imagenet", "imagenet100", "imagenette")


class CommitteeLabels(Fkd):
    """FKD with the mean of the logits of all teachers that it asks."""

    source: ClassVar[str] = "G-VBSM, section 3.4; the rescaling is its ImageNet-1K script's"

    rescale: bool = False
    """Bring each teacher's logits to the mean norm of all before they are averaged."""

    def bind(self, problem: Problem) -> Answer:
        def answer(batch: Batch) -> Tensor:
            teachers = range(len(problem.teachers))
            logits = torch.stack([problem.teacher_logits(batch.images, teacher=place) for place in teachers])
            if self.rescale:
                norms = logits.flatten(1).norm(dim=1)
                logits = logits * (norms.mean() / norms)[:, None, None]
            return logits.mean(dim=0)

        return answer


def labelled(protocol: str, pool: tuple[str, ...]) -> str:
    """The regime of labels by a committee."""
    return f"committee:{protocol},relabeler.teachers={json.dumps(pool)}"
