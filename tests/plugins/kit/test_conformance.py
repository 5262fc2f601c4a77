"""The conformance kit: our own components pass it. Those that break a promise are in `test_breaks.py`."""

from __future__ import annotations

import pytest

from delt_host.basics.version import STAGES
from delt_host.contracts.problem import Problem
from delt_host.plugins.registry import load_registry
from delt_plugins.kit import check, small_problem
from small_options import SMALL

pytestmark = pytest.mark.long

# Enough iterations for a plan of EarlyLate's rounds, few enough for a test.
OPTIONS = {
    "early-late": {"iterations": 16},
    "distribution": {"real_batch": 16},
    "fresh": {"period": 3},
    "interpolated": {"experts": 2, "epochs": 1, "batch": 64},
    "pool": {"size": 2, "max_age": 2, "steps": 2, "batch": 16, "siamese": "color_crop_flip"},
    "pruning": {"network": "convnet3"},
    "continual": {"steps": 2},
    "cross-architecture": {"models": ("convnet3", "wrn_16_2")},
    "diversity": {"real_images": 50},
    "privacy": {"members": 100},
    "ordinary": {"epochs": 1},
    "sam": {"epochs": 1, "alpha": 1.0},
}

# `imported` needs the files that it reads: it is checked where those are made, in test_release.py.
KINDS = (*STAGES, "form", "network_source", "protocol", "squeezer")
COMPONENTS = [(kind, name) for kind in KINDS for name in load_registry().names(kind) if name != "imported"]


@pytest.fixture(scope="module")
def shared() -> Problem:
    return small_problem()


@pytest.mark.parametrize(("kind", "name"), COMPONENTS, ids=[f"{kind} {name}" for kind, name in COMPONENTS])
def test_our_own_components_keep_their_contracts(shared: Problem, kind: str, name: str) -> None:
    check(load_registry().get(kind, name)(**SMALL.get((kind, name), OPTIONS.get(name, {}))), shared)


VALUES = [(kind, name) for kind in ("method", "regime") for name in load_registry().names(kind)]


@pytest.mark.parametrize(("kind", "name"), [*VALUES, ("model", "convnet3")])
def test_our_own_methods_regimes_and_networks_keep_their_contracts(shared: Problem, kind: str, name: str) -> None:
    check(load_registry().get(kind, name), shared)
