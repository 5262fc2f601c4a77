"""DELT: teacher-ranked real images as a start, and EarlyLate training (Shen et al., CVPR 2025, arXiv 2411.19946)."""

from __future__ import annotations

from delt_host import Initializer, Method, Protocol, Scheduler, hookimpl, use
from delt_plugins.delt.early_late import EarlyLate
from delt_plugins.delt.protocols import DeltPaper, DeltRepo
from delt_plugins.delt.ranked import Ranked

DELT = Method(
    summary="medium-ranked real images, EarlyLate, BatchNorm statistics",
    source="Shen et al.: DELT, CVPR 2025, arXiv 2411.19946",
    initializer=use("ranked"),
    scheduler=use("early-late"),
    matcher=use("batch-norm"),
    regime="online:delt-repo",
    # Table 8c: at IPC 1 there are no rounds and the iterations are the dataset's, here as for ResNet-18 (ImageNet: ConvNet-4).
    datasets={
        # data_selection.py and recover.py read images of 64 px as it reads photographs: enlarged, and their centre.
        "tiny-imagenet": {"initializer.zoom": True},
        **{
            f"{dataset} ipc 1": {"scheduler.iterations": iterations, "scheduler.round_iterations": iterations}
            for dataset, iterations in {
                "cifar10": 2000,
                "tiny-imagenet": 500,
                "imagenette": 1000,
                "imagenet": 3000,
            }.items()
        },
    },
)


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"ranked": Ranked}


@hookimpl
def delt_schedulers() -> dict[str, type[Scheduler]]:
    return {"early-late": EarlyLate}


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"delt-paper": DeltPaper, "delt-repo": DeltRepo}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"delt": DELT}
