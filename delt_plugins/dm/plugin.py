"""DM: distribution matching (Zhao and Bilen, WACV 2023, arXiv 2110.04181)."""

from __future__ import annotations

from delt_host import Matcher, Method, hookimpl, use
from delt_plugins.dm.distribution import DistributionMatching

DM = Method(
    summary="real images moved until their mean features match the data's under random networks",
    source="Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023, arXiv 2110.04181",
    initializer=use("real"),
    # Published: SGD at rate 1 and momentum 0.5 for 20,000 iterations, with `scheduler.siamese`; docs/published.md has the
    # options. Adam, rate and iterations are ours, without augmentation.
    scheduler=use(
        "constant", iterations=1000, learning_rate=0.02, crop="none", flip=False, order="class", group_size=10_000
    ),
    matcher=use("distribution"),
    regime="hard",
)


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {"distribution": DistributionMatching}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"dm": DM}
