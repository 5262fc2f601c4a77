"""The methods of batch matching, each a value with the settings of its paper for CIFAR-10.

For Tiny-ImageNet where its paper has them; elsewhere CIFAR-10's. On the digits networks are few and short.
"""

from __future__ import annotations

from collections.abc import Mapping

from delt_host import Method, use

NETWORK = "convnet3_in"
"""The network of all of these papers on 32 px: ConvNet-3 of width 128 with instance norms."""
Settings = Mapping[str, dict[str, object]]
ALL = "color_crop_cutout_flip_scale_rotate"
THREE = "color_crop_cutout"
STUDENTS = "hard:dsa"
"""Most of these papers' students; DSA's own."""
CIFAR_VARIANCE = 0.061
"""Of CIFAR-10's pixels in 0..1, a channel: a rate of these divided by it is the rate of normalised ones."""
IDC_RATE = 0.005 / CIFAR_VARIANCE
"""At IPC 10; elsewhere in proportion to IPC."""
DANCE_RATE = 0.01 / CIFAR_VARIANCE
"""For each image a class."""


def on_set(age: int, epochs: int, **options: object) -> dict[str, object]:
    """DC's networks: each matched `age` times, and trained on the set for so many epochs before each but the first."""
    trained = {"trained_on": "current", "epochs": epochs, "momentum": 0.0, "weight_decay": 0.0}
    return {"name": "pool", "model": NETWORK, "size": 1, "max_age": age, **trained, **options}


def on_real(**options: object) -> dict[str, object]:
    """Networks that are trained on real images meanwhile."""
    return {"name": "pool", "model": NETWORK, "trained_on": "real", **options}


def experts(**options: object) -> dict[str, object]:
    """Networks between the first and last weights of trained ones."""
    return {"name": "interpolated", "model": NETWORK, **options}


def outer_loops(**options: object) -> dict[str, dict[str, object]]:
    """DC's loops by images a class: a network is matched 1, 10 and 50 times, trained for 1, 50 and 10 epochs between."""
    loops = {"ipc 1": (1, 1), "ipc 50": (50, 10)}
    return {
        ipc: {"scheduler.iterations": NETWORKS * age, "matcher.networks": on_set(age, epochs, **options)}
        for ipc, (age, epochs) in loops.items()
    }


NETWORKS = 1000
"""Of DC, DSA and DCC, each with its outer loop."""
SMALL = "convnet3_in_w32"
"""The network on the digits: a quarter as wide."""


def and_digits(
    networks: dict[str, object], published: Settings | None = None, iterations: int = 60, **of_matcher: object
) -> Settings:
    """What is `published` for single datasets, and settings of ours for the digits at every IPC: few iterations, small real
    batches, and these networks."""
    ours = {"scheduler.iterations": iterations, "matcher.networks": networks, "matcher.real_batch": 32}
    ours |= {f"matcher.{option}": value for option, value in of_matcher.items()}
    at = ("digits", *(f"digits {key}" for key in published or {} if key.startswith("ipc ")))
    return {**(published or {}), **{key: dict(ours) for key in at}}


SMALL_ON_REAL = on_real(model=SMALL, size=2, max_age=20, steps=4, batch=32)
EXPERTS = experts(experts=20, epochs=60, siamese="color_crop", cutmix=0.5, decay="steps")
"""DANCE's and NCFM's."""
SMALL_EXPERTS = experts(model=SMALL, experts=2, epochs=2, batch=32)
OF_GRADIENTS = {"learning_rate": 0.1, "momentum": 0.5}

DC = Method(
    summary="noise moved until a step on it teaches a network what a step on real images does",
    source="Zhao, Mopuri, Bilen: Dataset Condensation with Gradient Matching, ICLR 2021, arXiv 2006.05929",
    initializer=use("noise"),
    scheduler=use("whole-set", iterations=10 * NETWORKS, **OF_GRADIENTS),
    matcher=use("gradients", networks=on_set(10, 50)),
    regime=STUDENTS,
    datasets=and_digits(on_set(5, 5, model=SMALL), outer_loops()),
)
DSA = Method(
    summary="DC from real images, with the same augmentation on both sides",
    source="Zhao, Bilen: Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021, arXiv 2102.08259",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=10 * NETWORKS, siamese=ALL, **OF_GRADIENTS),
    matcher=use("gradients", networks=on_set(10, 50, siamese=ALL)),
    regime=STUDENTS,
    datasets=and_digits(on_set(5, 5, model=SMALL, siamese=ALL), outer_loops(siamese=ALL)),
)
DCC = Method(
    summary="DC whose classes' gradients are summed before they are compared",
    source="Lee et al.: Dataset Condensation with Contrastive Signals, ICML 2022, arXiv 2202.02916",
    initializer=use("noise"),
    scheduler=use("whole-set", iterations=10 * NETWORKS, turns="together", **OF_GRADIENTS),
    matcher=use("gradients", contrastive_from=250 * 10, networks=on_set(10, 50)),
    regime=STUDENTS,
    datasets=and_digits(
        on_set(5, 5, model=SMALL),
        {
            "ipc 1": {**outer_loops()["ipc 1"], "matcher.contrastive_from": 250},
            # plain in the first ten of each network's fifty visits there, which is not kept apart
            "ipc 50": {**outer_loops()["ipc 50"], "matcher.contrastive_from": 250 * 10},
        },
        contrastive_from=20,
    ),
)
ON_REAL = on_real(size=1, max_age=100, steps=32, batch=64, siamese="color_crop", cutmix=0.5)
"""IDC's: 2,000 real images in batches between matches."""
IDC_RATES: Settings = {
    "ipc 1": {"scheduler.learning_rate": IDC_RATE / 10},
    "ipc 50": {"scheduler.learning_rate": IDC_RATE * 5},
}
IDC = Method(
    summary="mosaics moved by gradients of networks that real images train",
    source="Kim et al.: Dataset Condensation via Efficient Synthetic-Data Parameterization, ICML 2022, arXiv 2205.14959",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=200_000, learning_rate=IDC_RATE, momentum=0.5, siamese=THREE),
    matcher=use("gradients", networks=ON_REAL, real_batch=64, distance="squared", layers="convolutions"),
    form=use("mosaic"),
    regime=STUDENTS,
    datasets=and_digits(SMALL_ON_REAL, IDC_RATES),
)
DREAM = Method(
    summary="IDC beside real images that stand for clusters of their class",
    source="Liu et al.: DREAM, ICCV 2023, arXiv 2302.14416",
    initializer=use("clustered"),
    scheduler=use("whole-set", iterations=25_000, learning_rate=IDC_RATE, momentum=0.5, siamese=THREE),
    matcher=use(
        "gradients", networks=ON_REAL, real_batch=64, distance="squared", layers="convolutions", clustered_every=10
    ),
    form=use("mosaic"),
    regime=STUDENTS,
    datasets=and_digits(SMALL_ON_REAL, IDC_RATES, clustered_from=64),
)
IDM = Method(
    summary="mosaics whose mean features match under a pool of networks, and whose classes these tell",
    source="Zhao et al.: Improved Distribution Matching for Dataset Condensation, CVPR 2023, arXiv 2307.09742",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=20_000, learning_rate=0.2, momentum=0.5, siamese=ALL),
    matcher=use("classified-means", networks=on_real(size=100, max_age=60, steps=10), classify=0.5),
    form=use("mosaic"),
    regime=STUDENTS,
    datasets=and_digits(
        SMALL_ON_REAL,
        {
            "ipc 1": {"matcher.real_batch": 5000, "matcher.networks": on_real(size=100, max_age=10, steps=10)},
            "ipc 50": {"matcher.classify": 0.1},
            "tiny-imagenet ipc 50": {"matcher.classify": 0.8},
        },
    ),
)
DANCE = Method(
    summary="mosaics whose mean features match between experts' first and last weights",
    source="Zhang et al.: DANCE, IJCAI 2024, arXiv 2406.01063",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=10_000, learning_rate=DANCE_RATE * 10, momentum=0.5, siamese=THREE),
    matcher=use(
        "classified-means",
        networks=EXPERTS,
        real_batch=128,
        classify=1.0,
        weighted_by="one",
    ),
    form=use("mosaic"),
    regime=STUDENTS,
    datasets=and_digits(
        SMALL_EXPERTS,
        {"ipc 1": {"scheduler.learning_rate": DANCE_RATE}, "ipc 50": {"scheduler.learning_rate": DANCE_RATE * 50}},
    ),
)
NCFM_RATE = 0.025
"""A step of each class and term at 0.001 of pixels in 0..1, as one of Adam's an iteration in normalised ones."""
NCFM = Method(
    summary="mosaics whose features have the real ones' characteristic functions",
    source="Wang et al.: Dataset Distillation with Neural Characteristic Function, CVPR 2025, arXiv 2502.20653",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=20_000, learning_rate=NCFM_RATE, optimizer="adam", siamese=THREE),
    matcher=use("characteristic", networks=EXPERTS),
    form=use("mosaic"),
    regime="fixed:dsa,protocol.epochs=2000,protocol.optimizer=adamw,protocol.learning_rate=0.001,protocol.step_restarts=false",
    datasets=and_digits(SMALL_EXPERTS, frequencies=256),
)


def cim_students(batch: int) -> str:
    """A thousand epochs of AdamW on the teacher's logits for every view, in such batches."""
    adamw = "protocol.optimizer=adamw,protocol.learning_rate=0.001,protocol.weight_decay=0.0001"
    falls = "protocol.milestones=[0.6667,0.8333],protocol.step_factor=0.2,protocol.step_restarts=false"
    return f"online:dsa,protocol.epochs=1000,{adamw},protocol.batch_size={batch},protocol.loss=mse,{falls}"


CIM = Method(
    summary="mosaics of sure images, each cell held to its own real image in a teacher's features",
    source="CIM, ECCV 2026",
    initializer=use("anchors"),
    scheduler=use("whole-set", iterations=200, learning_rate=0.01, optimizer="adam", siamese="crop_cutout_flip"),
    matcher=use("pairs"),
    form=use("mosaic"),
    regime=cim_students(50),
    datasets={"digits": {"scheduler.iterations": 60}, "ipc 50": {"regime": cim_students(100)}},
)

METHODS = {
    "dc": DC, "dsa": DSA, "dcc": DCC, "idc": IDC, "dream": DREAM, "idm": IDM, "dance": DANCE, "ncfm": NCFM, "cim": CIM,
}  # fmt: skip
