"""Networks to match images with that are no teacher."""

from __future__ import annotations

from delt_host import NetworkSource, hookimpl
from delt_plugins.sources.fresh import Fresh
from delt_plugins.sources.trained import Interpolated, Pool


@hookimpl
def delt_network_sources() -> dict[str, type[NetworkSource]]:
    return {"fresh": Fresh, "pool": Pool, "interpolated": Interpolated}
