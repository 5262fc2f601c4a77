"""G-VBSM: statistics of a committee in turn, moving averages (Shao et al., CVPR 2024, arXiv 2311.17950)."""

from __future__ import annotations

from delt_host import Matcher, Method, Protocol, Relabeler, hookimpl, use
from delt_plugins.gvbsm.committee import LARGE, LARGE_POOL, SMALL_POOL, CommitteeLabels, labelled
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.gvbsm.protocol import Gvbsm

GVBSM = Method(
    summary="noise, constant schedule, statistics of a committee's convolutions, patches and BatchNorms",
    source="Shao et al.: Generalized Large-Scale Data Condensation via Various Backbone and Statistical Matching, CVPR 2024, "
    "arXiv 2311.17950",
    initializer=use("noise"),
    # The published roll of 0 to 32 px is left as it is: on small images it is any shift at all.
    scheduler=use("constant", learning_rate=0.05, crop="pad", roll=(0, 32), order="class"),
    matcher=use("general-statistics", teachers=SMALL_POOL),
    regime=labelled("gvbsm", SMALL_POOL),
    # A group is what one GPU has of a script's batch: 100 on one, 100 on two, 80 on two.
    datasets={
        "cifar100": {"scheduler.group_size": 50},
        "tiny-imagenet": {"scheduler.group_size": 50, "scheduler.order": "tenths"},
        **dict.fromkeys(
            LARGE,
            {
                "matcher.teachers": LARGE_POOL,
                "scheduler.learning_rate": 0.1,
                "scheduler.crop": "constant",
                "scheduler.group_size": 40,
                "matcher.patch": 16,
                "matcher.decay": 0.4,
                "matcher.drop": 0.0,
                "matcher.real_crop": "resized",
                "matcher.real_batch": 256,
                "regime": labelled("gvbsm", LARGE_POOL) + ",relabeler.rescale=true",
            },
        ),
    },
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"general-statistics": GeneralStatistics}


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {"committee": CommitteeLabels}


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"gvbsm": Gvbsm}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"gvbsm": GVBSM}
