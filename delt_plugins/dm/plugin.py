"""DM: distribution matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181)."""

from __future__ import annotations

from delt_host import Matcher, Method, hookimpl, use
from delt_host.toolbox import EVERY_OPERATION
from delt_plugins.dm.distribution import DistributionMatching

DM = Method(
    summary="real images moved until their mean features match the data's under random networks",
    source="Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023, arXiv 2110.04181",
    initializer=use("real"),
    scheduler=use("whole-set", iterations=20_001, learning_rate=1.0, momentum=0.5, siamese=EVERY_OPERATION),
    matcher=use("distribution", networks={"name": "fresh", "model": "convnet3_in"}),
    regime="hard:dsa",
    # Nobody publishes on the digits: Adam and a twentieth of the iterations, without augmentation, at the
    # teacher's architecture, whose batch norms want all classes in a pass.
    datasets={
        "digits": {
            "scheduler.iterations": 1000,
            "scheduler.optimizer": "adam",
            "scheduler.betas": (0.5, 0.9),
            "scheduler.learning_rate": 0.02,
            "scheduler.siamese": "",
            "scheduler.turns": "together",
            "matcher.networks": {"name": "fresh"},
        }
    },
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"distribution": DistributionMatching}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"dm": DM}
