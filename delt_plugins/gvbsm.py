"""G-VBSM: a committee of teachers in turn, statistics of convolutions and patches, moving averages (Shao et al., CVPR 2024).

EDC (Shao et al., NeurIPS 2024) is built on it: statistics class by class, real patches as a start.
"""

from __future__ import annotations

import json
from typing import ClassVar

import torch
from torch import Tensor

from delt_host import Answer, Batch, Matcher, Method, Problem, Relabeler, hookimpl, use
from delt_plugins.general_statistics import GeneralStatistics
from delt_plugins.labels import Fkd


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


# Table 1 of G-VBSM; its CIFAR networks are ours of the same names, with stems for small images.
SMALL_POOL = ("resnet18", "convnet3_in", "mobilenet_v2", "wrn_16_2", "shufflenet_v2_x0_5")
LARGE_POOL = ("resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5")
LARGE = ("imagenet", "imagenet100", "imagenette")


def _labelled(protocol: str, pool: tuple[str, ...]) -> str:
    """The regime of labels by a committee."""
    return f"committee:{protocol},relabeler.teachers={json.dumps(pool)}"


GVBSM = Method(
    summary="noise, constant schedule, statistics of a committee's convolutions, patches and BatchNorms",
    source="Shao et al.: Generalized Large-Scale Data Condensation via Various Backbone and Statistical Matching, CVPR 2024, "
    "arXiv 2311.17950",
    initializer=use("noise"),
    # The published roll of 0 to 32 px is left as it is: on small images it is any shift at all.
    scheduler=use("constant", learning_rate=0.05, crop="pad", roll=(0, 32), order="class"),
    matcher=use("general-statistics", teachers=SMALL_POOL),
    regime=_labelled("gvbsm", SMALL_POOL),
    datasets=dict.fromkeys(
        LARGE,
        {
            "matcher.teachers": LARGE_POOL,
            "scheduler.learning_rate": 0.1,
            "scheduler.crop": "constant",
            "scheduler.group_size": 80,
            "matcher.patches": 16,
            "matcher.decay": 0.4,
            "matcher.drop": 0.0,
            "regime": _labelled("gvbsm", LARGE_POOL) + ",relabeler.rescale=true",
        },
    ),
)

EDC = Method(
    summary="the best real patches, constant schedule, a committee's statistics over all and class by class",
    source="Shao et al.: Elucidating the Design Space of Dataset Condensation, NeurIPS 2024, arXiv 2404.13733",
    initializer=use("ranked", selection="highest", cut=True),
    scheduler=use("constant", iterations=2000, learning_rate=0.05, order="class"),
    matcher=use("general-statistics", teachers=SMALL_POOL, class_wise=0.5, diversity=0.0),
    regime=_labelled("edc", SMALL_POOL),
    datasets=dict.fromkeys(
        LARGE,
        {
            "matcher.teachers": LARGE_POOL,
            "regime": _labelled("edc", LARGE_POOL),
            "initializer.patches": 2,
            "scheduler.iterations": 1000,
            "scheduler.group_size": 80,
            "matcher.weight": 0.1,
            "matcher.patches": 16,
            "matcher.drop": 0.0,
        },
    ),
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"general-statistics": GeneralStatistics}


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {"committee": CommitteeLabels}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"gvbsm": GVBSM, "edc": EDC}
