"""On an accelerator everything gives what it gives on the processor; recovery does not wait for it, nor copy to it twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from delt_host import Compute, InputError, Problem
from delt_host.plugins.registry import load_registry
from delt_host.recovery import loop
from delt_host.recovery.latents import Latents
from delt_plugins.kit import evaluator, form, initializer, matcher, protocol, relabeler, squeezer
from delt_plugins.kit.small import problem_for, real_start, two_groups
from pretended import KIND, pretended_accelerator

CONTRACTS: dict[str, Any] = {
    "initializer": initializer, "matcher": matcher, "relabeler": relabeler,
    "protocol": protocol, "evaluator": evaluator, "form": form, "squeezer": squeezer,
}  # fmt: skip
REGISTRY = load_registry()
LEFT_OUT = {
    ("initializer", "imported"),  # reads a file
    ("evaluator", "cross-architecture"),  # students of `student`, for half a minute
    ("evaluator", "pruning"),  # of a vgg11_bn, which takes no images as small as these
    ("squeezer", "sam"),  # `ordinary` with another gradient, for a quarter of one
}
EVERYTHING = [(kind, name) for kind in CONTRACTS for name in REGISTRY.names(kind) if (kind, name) not in LEFT_OUT]


def on_accelerator(thing: Any) -> Problem:
    return replace(problem_for(thing), compute=Compute(KIND, "fp32"))


def flat(found: Any) -> list[float]:
    """All numbers of nested results, in order."""
    if isinstance(found, Tensor):
        return found.detach().cpu().double().flatten().tolist()
    if isinstance(found, dict):
        return [number for name in found for number in flat(found[name])]
    if isinstance(found, list | tuple):
        return [number for each in found for number in flat(each)]
    return [float(found)] if isinstance(found, int | float) else []


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_the_same_on_an_accelerator(kind: str, name: str) -> None:
    make = REGISTRY.get(kind, name)
    short = {"epochs": 1} if kind == "squeezer" else {}
    thing = make(**short)
    on_cpu = CONTRACTS[kind].results(thing, problem_for(thing))
    with pretended_accelerator() as counts:
        found = CONTRACTS[kind].results(thing, on_accelerator(thing))
    if kind in ("matcher", "protocol", "squeezer"):
        assert counts["operators"], "nothing was done on the accelerator"
    assert flat(found) == pytest.approx(flat(on_cpu), rel=1e-3, abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("name", REGISTRY.names("matcher"))
def test_recovery_waits_for_nothing_between_readings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one copy to the device an iteration, and one more of real images; networks that are drawn anew come besides."""
    monkeypatch.setattr(loop, "LOG_POINTS", 1)  # read in the first and the last iteration, however many there are
    made = REGISTRY.get("matcher", name)()
    per_iteration = (recovered(made, 6) - recovered(made, 2))["waits"] / 4
    assert per_iteration == 0
    drawn = len(list(made.networks.bind(on_accelerator(made), 0).at(0, lambda: None).state_dict()))  # type: ignore[arg-type]
    fresh = drawn if made.networks.name == "fresh" else 0
    several = recovered(made, 6)["copies"] - recovered(made, 2)["copies"]
    assert several / 4 <= (2 if fresh else 1) + fresh


def recovered(made: Any, iterations: int) -> Counter[str]:
    problem = on_accelerator(made)
    seen, start, plan = problem.seen_by(made), Latents.of(problem, real_start(problem)), two_groups(problem, iterations)
    with pretended_accelerator() as counts:
        loop.recover_group(seen, start, plan, 0, made, lambda _done, _terms: None)
    return Counter(counts)


def test_auto_takes_the_accelerator_and_others_are_refused() -> None:
    with pytest.raises(InputError, match="sees no mps device here, only cpu; use --device auto"):
        Compute.choose("mps")
    with pytest.raises(InputError, match="'cpu:3' was asked for, but there is one device"):
        Compute.choose("cpu:3")
    with pretended_accelerator():
        chosen = Compute.choose()
        assert (chosen.device, chosen.precision) == (KIND, "fp32")
        assert chosen.note is not None and "untested" in chosen.note
        with pytest.raises(InputError, match=f"'{KIND}:1' was asked for, but there is one device"):
            Compute.choose(f"{KIND}:1")
    assert Compute("cpu", "fp32").note is None


def test_what_mixes_devices_is_an_error() -> None:
    with pretended_accelerator() as counts:
        there = torch.ones(2, device="cpu").to(KIND)
        with pytest.raises(RuntimeError, match="operands on two devices"):
            there + torch.ones(2)
        assert float((there + there).sum()) == 4 and (counts["copies"], counts["waits"]) == (1, 1)
        there[there > 0]
        assert counts["waits"] == 2
