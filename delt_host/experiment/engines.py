"""``--engine NAME,OPTION=VALUE``: who does the pieces of a run."""

from __future__ import annotations

from delt_host.basics.options import build
from delt_host.contracts.engine import Engine
from delt_host.experiment.parts import of_stage
from delt_host.experiment.request import parse_sets, split_spec
from delt_host.plugins.registry import Registry


def engine_for(spec: str, registry: Registry, address: str | None = None) -> Engine:
    """The engine with its options, the address among them where there is one. InputError for what is unknown."""
    name, assignments = split_spec(spec)
    given = of_stage("engine", parse_sets([f"engine.{each}" for each in assignments]))
    if address is not None:
        given["address"] = address
    engine: Engine = build(registry.get("engine", name), given, f"engine {name}")
    return engine
