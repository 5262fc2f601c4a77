"""The conformance kit: our own components pass it, and components that break a promise do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import torch

from delt_host.components import STAGES, Initializer, Matcher, Relabeler, Start
from delt_host.errors import RunError
from delt_host.form import Pixels
from delt_host.plugins import load_registry
from delt_host.problem import Problem
from delt_host.testing import check, small_problem
from delt_plugins.controls import Real

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
    check(load_registry().get(kind, name)(**OPTIONS.get(name, {})), shared)


class Unseeded(Initializer):
    """Draws from torch's global generator."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        return Start(torch.rand(len(classes) * problem.count, 3, problem.image_size, problem.image_size))


class WrongOrder(Initializer):
    """The classes in their own order, whichever was asked for."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        return Real().initialize(problem, sorted(classes))


class OneGenerator(Initializer):
    """One generator for all classes."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        shape = (len(classes) * problem.count, 3, problem.image_size, problem.image_size)
        return Start(torch.randn(shape, generator=problem.generator("all")))


class Old(Initializer):
    """Written when an initializer gave every class at once."""

    def initialize(self, problem: Problem) -> Start:  # type: ignore[override]
        return Start(torch.zeros(problem.num_images, 3, problem.image_size, problem.image_size))


class TooFew(Initializer):
    """One image of each class."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        return Start(torch.zeros(len(classes), 3, problem.image_size, problem.image_size))


class Doubles(Initializer):
    """Images in double precision."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        shape = (len(classes) * problem.count, 3, problem.image_size, problem.image_size)
        return Start(torch.zeros(shape, dtype=torch.float64))


class Large(Pixels):
    """Twice as many units as the bytes allow."""

    def units(self, ipc: int, image_size: int) -> int:
        return 2 * ipc


class Backwards(Pixels):
    """Reads another image than it is asked for."""

    def read(self, packed: Mapping[str, torch.Tensor], indices: torch.Tensor) -> torch.Tensor:
        return packed["images"][torch.arange(len(indices))]


class Remembers(Matcher):
    """Keeps state outside `bind`, so that one group's result depends on the others."""

    def bind(self, problem: Problem) -> object:
        count = SEEN.append(1) or len(SEEN)
        target = float(count % 3)
        return lambda views: {"pull": (views.images - target).square().mean().view(1)}


class Undescribed(Matcher):
    """An option without a docstring."""

    weight: float = 1.0

    def bind(self, problem: Problem) -> object:
        return lambda views: {"pull": self.weight * views.images.square().mean().view(1)}


class NotANumber(Matcher):
    """A term that is not finite."""

    def bind(self, problem: Problem) -> object:
        return lambda views: {"root": (views.images * 0 - 1).mean().sqrt().view(1)}


class Former(Relabeler):
    """As relabelers were written before labels were the host's."""

    def size_bytes(self, problem: Problem) -> int:
        return problem.num_images


class Silent(Relabeler):
    """Asks for every view, and nobody answers."""


class Understated(Relabeler):
    """Says half of what its labels take."""

    def bind(self, problem: Problem) -> object:
        return lambda batch: problem.teacher_logits(batch.images)

    def label_bytes(self, classes: int) -> int:
        return classes


class Forgetful(Understated):
    """Answers otherwise each time that it is bound."""

    def bind(self, problem: Problem) -> object:
        SEEN.append(1)
        return lambda batch: problem.teacher_logits(batch.images) + len(SEEN)

    def label_bytes(self, classes: int) -> int:
        return 2 * classes


SEEN: list[int] = []


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (Unseeded(), "two runs under one seed differ"),
        (WrongOrder(), "gives other images than among all"),
        (OneGenerator(), "gives other images than among all"),
        (
            Old(),
            r"Old has initialize\(self, problem\), which is written otherwise now: initialize\(self, problem, classes\)",
        ),
        (TooFew(), r"images of shape \(10, 3, 8, 8\), not \(40, 3, 8, 8\)"),
        (Doubles(), "give uint8, or float32 normalised"),
        (Large(), "take 15360 bytes, more than 7680"),
        (Backwards(), "not give the images in the order of the indices"),
        (Remembers(), "depends on the groups before it"),
        (Undescribed(), "'weight' has no docstring"),
        (Former(), r"Former defines size_bytes, which is gone: write label_bytes\(classes\)"),
        (Silent(), r"bind\(\) is missing"),
        (Understated(), r"label_bytes\(\) says 10 an answer, and 3 packed ones take 60"),
        (Forgetful(), r"differs where bind\(\) is called again"),
    ],
)
def test_a_broken_promise_is_named(shared: Problem, component: object, said: str) -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(AssertionError, match=said):
        check(component, shared)  # type: ignore[arg-type]
    torch.random.set_rng_state(state)  # `Unseeded` moved it, as it is meant to


def test_a_term_that_is_not_finite_is_named(shared: Problem) -> None:
    with pytest.raises(RunError, match="'root' became nan"):
        check(NotANumber(), shared)
