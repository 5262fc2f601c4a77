"""Every break of `broken/` is one AssertionError of one sentence, and what keeps its contract passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from broken import BREAKS, initializers, labels, matchers, noise, others, schedulers
from broken.labels import Answers, Scores
from broken.others import Sixteen
from delt_host import (
    Initializer,
    Method,
    Observer,
    Problem,
    Start,
    use,
)
from delt_plugins.kit import check, small_problem

KINDS = (initializers, schedulers, matchers, labels, others)
"""The modules that fill the table when they are imported."""


@pytest.fixture(scope="module")
def shared() -> Problem:
    return small_problem()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("thing", "said"), BREAKS, ids=[getattr(t, "__name__", type(t).__name__) for t, _ in BREAKS])
def test_a_broken_promise_is_one_sentence(thing: Any, said: str, shared: Problem) -> None:
    problem = (
        small_problem()
        if type(thing).__name__ in ("Darkens", "Prunes")
        else replace(shared, services=type(shared.services)())
    )
    state, folder = torch.random.get_rng_state(), Path.cwd()
    with pytest.raises(AssertionError) as caught:
        check(thing, problem)
    name, text = getattr(thing, "__name__", type(thing).__name__), str(caught.value)
    assert text.startswith(f"{name}: ") and "\n" not in text and said in text, text
    assert "0x" not in text and "http" not in text, "no addresses"
    assert torch.equal(torch.random.get_rng_state(), state) and Path.cwd() == folder, "what it changed is set back"


class Right(Initializer):
    """Draws as it should, and remembers."""

    dtype: ClassVar[torch.dtype] = torch.float32
    strength: float = 1.0
    """Of what is added."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        mean = problem.remember("mean", lambda: {"mean": torch.full((1,), self.strength)}, reads=("strength",))["mean"]
        return Start(noise(problem, classes) + mean)


def a_network(classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * size**2, classes)
    )


class Frozen(nn.Module):
    """A class is a builder; a parameter that is not trained, and a head that has no part in the logits."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.body, self.head, self.beside = nn.Conv2d(3, 8, 3), nn.Linear(8, classes), nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.body(images).relu().mean((2, 3))) * self.scale
        return logits


class Hears(Observer):
    """Writes into its folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "notes.txt"

    def note(self, message: str) -> None:
        self.file.write_text(message)


RIGHT = [Right(), Sixteen(), a_network, Frozen, Hears, Scores(), Answers(), Method(summary="", initializer=use("real"))]


@pytest.mark.parametrize("thing", RIGHT, ids=[getattr(t, "__name__", type(t).__name__) for t in RIGHT])
def test_what_keeps_its_contract_passes(thing: Any, shared: Problem) -> None:
    check(thing, shared)


def test_what_is_made_in_a_cell_is_not_tried_elsewhere_and_that_is_said(shared: Problem) -> None:
    class Inner(Right):
        pass

    with pytest.warns(UserWarning, match="Inner is not tried in a second process"):
        check(Inner(), shared)
