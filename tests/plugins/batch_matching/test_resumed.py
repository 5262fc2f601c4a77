"""A set of batch matching that goes on after a kill ends with the bits of one that nobody killed, whatever trains meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from delt_host.contracts.initializer import Initializer
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import Recovered, recover_stack
from delt_host.store import sealed
from delt_host.store.resume import Checkpoint
from delt_plugins.batch_matching.characteristic import CharacteristicFunctions
from delt_plugins.batch_matching.gradients import GradientMatching
from delt_plugins.batch_matching.means import ClassifiedMeans
from delt_plugins.batch_matching.pairs import Anchors, Pairs
from delt_plugins.batch_matching.whole_set import WholeSet
from delt_plugins.controls.real import Real
from delt_plugins.sources.trained import Interpolated, Pool

ITERATIONS, KILLED = 7, (3, 5)
"""Killed after so many: before a network's replacement and after it, between visits that train with momenta."""


def dropping(classes: int, size: int) -> nn.Module:
    """Small, with running statistics and dropout, whose draws are the iteration's own."""
    last = nn.Linear(6 * (size // 2) ** 2, classes)
    before = (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(0.2))
    return nn.Sequential(*before, nn.Flatten(), last)


@dataclass(frozen=True)
class Case:
    matcher: Matcher
    start: Initializer = field(default_factory=Real)
    turns: str = "by class"
    keeps: tuple[str, ...] = ()
    """Tensors of the checkpoint on which the rest depends."""


ON_SET = Pool(model="dropping", max_age=3, trained_on="current", steps=2, batch=16, siamese="flip_scale")
ON_REAL = Pool(model="dropping", size=2, max_age=4, steps=2, batch=16, cutmix=0.5)
EXPERTS = Interpolated(model="dropping", experts=2, epochs=1, batch=256)
REAL = {"real_batch": 6}
ONE, TWO = (
    ("networks.ages", "networks.0.momentum.0"),
    ("networks.ages", "networks.0.momentum.0", "networks.1.weights.1.weight"),
)
CASES = {
    "gradients, trained on the set": Case(GradientMatching(networks=ON_SET, **REAL), keeps=ONE),
    "gradients, trained on real images": Case(
        GradientMatching(networks=ON_REAL, distance="squared", layers="convolutions", **REAL), keeps=TWO
    ),
    "gradients of clusters": Case(
        GradientMatching(networks=ON_REAL, clustered_every=4, clustered_from=20, **REAL),
        keeps=("memory.chosen of class 0", "memory.chosen of class 9"),
    ),
    "gradients, contrastive": Case(
        GradientMatching(networks=ON_SET, contrastive_from=4, **REAL), turns="together", keeps=ONE
    ),
    "classified means of a pool": Case(ClassifiedMeans(networks=ON_REAL, **REAL), keeps=TWO),
    "classified means of experts": Case(ClassifiedMeans(networks=EXPERTS, weighted_by="one", **REAL)),
    "characteristic functions": Case(CharacteristicFunctions(networks=EXPERTS, frequencies=16, **REAL)),
    "pairs": Case(Pairs(), Anchors()),
}


class Copied(Checkpoint):
    """Written after each iteration, and copied to ``N`` beside it."""

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        super().save(tensors, facts)
        assert self.path is not None
        shutil.copy(self.path, self.path.with_name(str(facts["iterations"])))


@dataclass
class Recovery:
    problem: Problem
    case: Case

    def made(self, checkpoint: Checkpoint) -> Recovered:
        start = Latents.of(self.problem, self.case.start.initialize(self.problem, range(self.problem.num_classes)))
        plan = WholeSet(iterations=ITERATIONS, siamese="crop_flip", turns=self.case.turns).plan(self.problem)
        (found,) = recover_stack(self.problem, start, plan, (0,), self.case.matcher, lambda *_: None, checkpoint)
        return found


@pytest.fixture
def small(problem: Problem) -> Problem:
    problem.models["dropping"] = dropping
    return problem


@pytest.mark.parametrize("name", CASES)
def test_a_killed_set_goes_on_to_the_same_bits(small: Problem, tmp_path: Path, name: str) -> None:
    recovery = Recovery(small, CASES[name])
    whole = recovery.made(Copied(tmp_path / "last", every=0))
    for killed in KILLED:
        again = recovery.made(Checkpoint(tmp_path / str(killed)))
        assert torch.equal(again.latents.images["images"], whole.latents.images["images"]), f"killed after {killed}"
        assert again.curves == whole.curves
    tensors, facts = sealed.read(tmp_path / str(KILLED[-1]))
    for kept in CASES[name].keeps:
        sealed.write(tmp_path / "other", {**tensors, kept: changed(tensors[kept])}, facts)
        again = recovery.made(Checkpoint(tmp_path / "other"))
        assert not torch.equal(again.latents.images["images"], whole.latents.images["images"]), f"without {kept}"


def changed(kept: Tensor) -> Tensor:
    """Other momenta, ages or chosen images."""
    return kept.flip(0) if kept.is_floating_point() else (kept + 1) % 1000
