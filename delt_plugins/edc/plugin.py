"""EDC: G-VBSM's statistics class by class, with real patches as a start (Shao et al., NeurIPS 2024, arXiv 2404.13733)."""

from __future__ import annotations

from delt_host import Method, Protocol, hookimpl, use
from delt_plugins.edc.protocol import Edc
from delt_plugins.gvbsm.committee import LARGE, LARGE_POOL, SMALL_POOL, labelled

EDC = Method(
    summary="the best real patches, constant schedule, a committee's statistics over all and class by class",
    source="Shao et al.: Elucidating the Design Space of Dataset Condensation, NeurIPS 2024, arXiv 2404.13733",
    initializer=use("ranked", selection="highest", cut=True),
    scheduler=use("constant", iterations=2000, learning_rate=0.05, order="class"),
    matcher=use("general-statistics", teachers=SMALL_POOL, class_wise=0.5, diversity=0.0),
    regime=labelled("edc", SMALL_POOL),
    datasets=dict.fromkeys(
        LARGE,
        {
            "matcher.teachers": LARGE_POOL,
            "regime": labelled("edc", LARGE_POOL),
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
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"edc": Edc}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"edc": EDC}
