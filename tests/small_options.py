"""Options that make components quick that are slow with their own: networks on few images, shortly trained."""

from __future__ import annotations

from typing import Any

from delt_plugins.sources.trained import Interpolated, Pool

NETWORK = "convnet3_in_w32"
ON_SET = Pool(model=NETWORK, max_age=3, trained_on="current", steps=2, batch=16, momentum=0.0, weight_decay=0.0)
ON_REAL = Pool(model=NETWORK, size=2, max_age=2, steps=2, batch=16)
EXPERTS = Interpolated(model=NETWORK, experts=2, epochs=1, batch=1024)

SMALL: dict[tuple[str, str], dict[str, Any]] = {
    ("initializer", "clustered"): {"candidates": 16},
    ("scheduler", "whole-set"): {"iterations": 4},
    ("matcher", "gradients"): {"real_batch": 8, "networks": ON_SET},
    ("matcher", "classified-means"): {"real_batch": 8, "networks": ON_REAL},
    ("matcher", "characteristic"): {"real_batch": 8, "frequencies": 32, "networks": EXPERTS},
}
"""Of batch matching's components, by kind and name."""
