"""DELT for small networks and few iterations: a view of each image, smaller steps, and half of the real start kept.

A recipe of ours, from DELT (arXiv 2411.19946) and FADRM's residuals (arXiv 2506.24125), chosen on held-out training images of
CIFAR-10; docs/results/cifar10-recipe.md has what each part gives.
"""

from __future__ import annotations

from delt_host import Method, hookimpl, use

DELT_RESIDUAL = Method(
    summary="EarlyLate with a view of each image and smaller steps, half blended with its real start",
    initializer=use("ranked", selection="random"),
    scheduler=use(
        "early-late",
        iterations=480,
        learning_rate=0.1,
        views="image",
        moments="fresh",
        residual=0.5,
    ),
    matcher=use("batch-norm", weight=0.1),
    regime="views",
    # One image of a class cannot stand for its variety: the one that the teacher is surest of, as it is.
    datasets={"ipc 1": {"initializer.selection": "highest", "scheduler": "none", "matcher": "none"}},
)


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"delt-residual": DELT_RESIDUAL}
