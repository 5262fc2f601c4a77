"""A committee of two small networks and twenty made images, as the makers of G-VBSM's and EDC's golden figures have them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.methods import Method
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.teacher import Teacher
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from delt_plugins.kit import views_of
from delt_plugins.sre2l.schedule import Constant
from made_inputs import FirstOfTwo, SecondOfTwo, ten_classes

MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
NETWORKS = {"first": FirstOfTwo, "second": SecondOfTwo}


def committee_problem() -> Problem:
    """Two images of each of ten classes."""
    names = tuple("abcdefghij")
    split = MemorySplit(*ten_classes(20))
    data = RealData("made", names, 12, MEAN, STD, split, split, "made")
    with isolated_rng(0, "weights that are then set"):
        states = {name: dict(network().state_dict()) for name, network in NETWORKS.items()}
    teachers = tuple(Teacher(name, state, names, MEAN, STD, 12) for name, state in states.items())
    builders = {name: lambda _classes, _size, network=network: network() for name, network in NETWORKS.items()}
    return Problem(data, teachers, 2, 0, Protocol(epochs=1), Compute("cpu", "fp32"), builders)


def check_recovery(problem: Problem, start: Tensor, matcher: Matcher, published: Mapping[str, Any]) -> None:
    """Losses, rates and the first gradient of four steps on all images, and what becomes of these."""
    plan = Constant(iterations=4, learning_rate=0.01, crop="none", flip=False, order="class").plan(problem)
    (phase,) = plan.groups[0].phases
    images = start.clone().requires_grad_(True)
    terms = matcher.bind(problem)(views_of(problem, images, problem.targets()))
    torch.stack([*terms.values()]).sum().backward()
    assert images.grad is not None
    found = recover_group(problem, Latents({"images": start}, problem.targets()), plan, 0, matcher, lambda *_told: None)
    losses = [sum(values[t] for name, values in found.curves.items() if name != "iteration") for t in range(4)]
    made = found.latents.images["images"]
    close = lambda value: pytest.approx(value, rel=2e-5)  # noqa: E731
    steps = published["steps"]
    assert images.grad.norm().item() == close(steps[0]["gradient"])
    assert losses == close([step["loss"] for step in steps])
    assert [phase.rates["images"].at(t) for t in range(4)] == close([step["rate"] for step in steps])
    assert made.norm().item() == close(published["image norm"])
    assert (made - start).abs().mean().item() == pytest.approx(published["moved"], rel=1e-3)
    assert made.mean(dim=(1, 2, 3)).tolist() == pytest.approx(published["image means"], abs=1e-5)


def batches_of(method: Method, dataset: str, ipc: int, classes: int) -> list[str]:
    """Where the images of each group of a method's plan are in the set, as runs."""
    published = {key: value for key, value in method.published(dataset, ipc).items() if key.startswith("scheduler.")}
    assert method.scheduler is not None
    options = method.scheduler.options | {key.partition(".")[2]: value for key, value in published.items()}
    set_of = SimpleNamespace(num_classes=classes, units=ipc)
    return [_runs(places) for places in Constant(**options).batches(set_of)]  # type: ignore[arg-type]


def _runs(places: list[int]) -> str:
    ends = [i for i, place in enumerate(places) if i + 1 == len(places) or places[i + 1] != place + 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return " ".join(f"{places[start]}-{places[end]}" for start, end in zip(starts, ends, strict=True))
