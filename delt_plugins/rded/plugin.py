"""RDED: the most realistic patches of real images, stitched, and nothing optimised (Sun et al., CVPR 2024)."""

from __future__ import annotations

from delt_host import Method, Protocol, hookimpl, use
from delt_plugins.rded.protocol import LARGE, Rded

RDED = Method(
    summary="the best-scored patches of real images, nothing optimised, labels made online",
    source="Sun et al.: On the Diversity and Realism of Distilled Dataset, CVPR 2024, arXiv 2312.03526",
    initializer=use("ranked", selection="highest", cut=True, crops=5, images_per_class=300),
    regime="online:rded",
    # Its factor: one patch an image on CIFAR and Tiny-ImageNet, 2 x 2 on every ImageNet set.
    datasets=dict.fromkeys(LARGE, {"initializer.patches": 2}),
)


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"rded": Rded}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"rded": RDED}
