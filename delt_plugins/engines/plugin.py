"""Engines by name."""

from __future__ import annotations

from delt_host import Engine, hookimpl
from delt_plugins.engines.ray import RayEngine
from delt_plugins.engines.slurm import SlurmEngine


@hookimpl
def delt_engines() -> dict[str, type[Engine]]:
    return {"ray": RayEngine, "slurm": SlurmEngine}
