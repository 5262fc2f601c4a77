"""EDC: G-VBSM's statistics class by class, with real images as a start (Shao et al., NeurIPS 2024, arXiv 2404.13733)."""

from __future__ import annotations

from delt_host import Method, Protocol, hookimpl, use
from delt_plugins.edc.protocol import Edc
from delt_plugins.gvbsm.committee import SMALL_POOL, labelled

# aux_teacher of recover.py in each branch; where labels are made by others, of train/direct_train.py or of the relabel script.
EIGHT = (*SMALL_POOL, "convnet1_in", "convnet2_in", "convnet3_in_w32")
OF_IMAGENET = ("resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5", "alexnet")
LABEL_IMAGENET = ("resnet18", "mobilenet_v2", "shufflenet_v2_x0_5", "alexnet")
OF_TEN_CLASSES = ("resnet18", "mobilenet_v2", "shufflenet_v2_x0_5")
LABEL_TEN_CLASSES = ("resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5")

LARGE_IMAGES = {
    # RDED's images.
    "initializer": "ranked",
    "initializer.selection": "highest",
    "initializer.cut": True,
    "initializer.patches": 2,
    "scheduler.min_crop": 0.5,
    "matcher.patch": 16,
    "matcher.real_crop": "resized",
    "matcher.real_batch": 256,
}
IMAGENET = {
    **LARGE_IMAGES,
    "matcher.teachers": OF_IMAGENET,
    "regime": labelled("edc", LABEL_IMAGENET),
    "scheduler.iterations": 1000,
    "scheduler.group_size": 20,
    "matcher.weight": 0.1,
}

EDC = Method(
    summary="real images, constant schedule, a committee's statistics over all and class by class",
    source="Shao et al.: Elucidating the Design Space of Dataset Condensation, NeurIPS 2024, arXiv 2404.13733",
    initializer=use("real"),
    scheduler=use("constant", iterations=2000, learning_rate=0.05, order="class"),
    matcher=use("general-statistics", teachers=EIGHT, class_wise=0.5, diversity=0.0, drop=0.0),
    regime=labelled("edc", EIGHT),
    # A group is what one GPU has of a script's batch: CIFAR-10's and ImageNet-10's 100 on one, others' 100 or 80 on four.
    # CIFAR-10's script is of IPC 1; for IPC 10 and 50 none is published, and the iterations are those of CIFAR-100.
    datasets={
        "cifar10 ipc 1": {"scheduler.iterations": 75},
        "cifar100": {
            "scheduler.group_size": 25,
            "scheduler.min_crop": 0.5,
            "regime": labelled("edc", SMALL_POOL),
        },
        "tiny-imagenet": {
            "scheduler.group_size": 25,
            "scheduler.min_crop": 0.5,
            "matcher.teachers": SMALL_POOL,
            "regime": labelled("edc", SMALL_POOL),
        },
        # ImageNet-10's settings, which are ten other classes.
        "imagenette": {
            **LARGE_IMAGES,
            "matcher.teachers": OF_TEN_CLASSES,
            "regime": labelled("edc", LABEL_TEN_CLASSES),
            "scheduler.iterations": 50,
            "matcher.decay": 0.0,
        },
        "imagenet100": IMAGENET,
        "imagenet": IMAGENET,
    },
)


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"edc": Edc}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"edc": EDC}
