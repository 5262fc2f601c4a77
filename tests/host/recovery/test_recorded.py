"""Steps that are repeated from a recording: which are, and that they give what steps one kernel at a time do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from delt_host import Compute, Matcher, Problem, Views
from delt_host.plugins.registry import load_registry
from delt_host.recovery import loop, recorded
from delt_host.recovery.latents import Latents
from delt_host.recovery.recorded import FIRST, Recorded
from delt_plugins.kit import views_of
from delt_plugins.kit.small import problem_for, real_start, two_groups
from pretended import KIND, pretended_accelerator

REGISTRY = load_registry()
REPEATED = ("batch-norm",)
"""The matchers that ask for nothing else."""
on_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="a recording is made on a CUDA device; there is none here"
)


class Played:
    """In place of a recording: the loss called with what one would be made with."""

    made = 0

    def __init__(self, match: Callable[..., Any], views: Views) -> None:
        type(self).made += 1
        given: Any = recorded._Given(views.images, views.targets, views.groups, views.network)
        found, self.gradient = recorded._once(match, given)
        self.names, self.terms = tuple(found), tuple(found.values())

    def repeat(self, _images: Tensor, _targets: Tensor) -> tuple[Tensor, ...]:
        return tuple(term.clone() for term in self.terms)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Played]:
    monkeypatch.setattr(recorded, "_Step", Played)
    monkeypatch.setattr(Played, "made", 0)
    return Played


def some_views(problem: Problem, count: int) -> Views:
    rng = torch.Generator().manual_seed(count)
    images = torch.rand(count, 3, problem.image_size, problem.image_size, generator=rng).requires_grad_(True)
    return views_of(problem, images, problem.targets()[:count], network=problem.network)


def brightness(views: Views) -> dict[str, Tensor]:
    return {"bright": views.images.mean().view(1), "dark": -views.images.square().mean().view(1)}


def test_a_step_is_recorded_once_for_each_number_of_images(problem: Problem, played: type[Played]) -> None:
    match = Recorded(brightness)
    for turn in range(FIRST + 3):
        views = some_views(problem, 4)
        terms = match(views)
        assert list(terms) == ["bright", "dark"]
        (gradient,) = torch.autograd.grad(sum(term.sum() for term in terms.values()), views.images)
        assert gradient.shape == views.images.shape and bool(gradient.any())
        assert played.made == (turn >= FIRST)
    for _ in range(FIRST + 2):
        match(some_views(problem, 2))
    assert played.made == 2


@pytest.mark.parametrize(
    "asked", ["iteration", "generator", "memory", "augment", "current", "index", "labels", "known_targets", "turn"]
)
def test_a_loss_that_asks_for_what_changes_is_called_as_it_is(
    problem: Problem, played: type[Played], asked: str
) -> None:
    calls: list[Any] = []

    def match(views: Views) -> dict[str, Tensor]:
        calls.append(getattr(views, asked))
        return brightness(views)

    recording = Recorded(match)
    for _ in range(FIRST + 4):
        recording(some_views(problem, 4))
    assert len(calls) == FIRST + 4, "it was called in every step, and once it was tried in vain"
    assert played.made == 1


@pytest.mark.parametrize(("change", "calls"), [("none", FIRST + 1), ("another", FIRST + 4), ("training", FIRST + 4)])
def test_a_recording_is_of_one_network_in_eval_mode(
    problem: Problem, played: type[Played], change: str, calls: int
) -> None:
    called: list[Any] = []

    def match(views: Views) -> dict[str, Tensor]:
        called.append(views.network)
        return brightness(views)

    recording = Recorded(match)
    for _ in range(FIRST + 4):
        views = some_views(problem, 4)
        network = views.network if change == "none" else copy.deepcopy(views.network)
        recording(replace(views, network=network.train(change == "training")))
    assert len(called) == calls and played.made == (change == "none")


@pytest.mark.parametrize(
    ("made", "refused"),
    [
        (lambda x: x * 2, False),
        (lambda x: x + torch.rand_like(x), True),
        (lambda x: x * torch.tensor(2.0), True),
        (lambda x: nn.functional.dropout(x, 0.5, training=True), True),
    ],
)
def test_draws_and_tensors_of_the_processor_are_refused(made: Callable[[Tensor], Tensor], refused: bool) -> None:
    with pretended_accelerator():
        given = torch.ones(3).to(KIND)
        with pytest.raises(recorded._AsksForMoreError) if refused else nullcontext(), recorded._Watched():
            made(given)


def test_what_cannot_be_recorded_is_called_as_it_is(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*_args: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recorded, "_Step", waits)
    match, views = Recorded(brightness), some_views(problem, 4)
    for _ in range(FIRST + 2):
        assert match(views)["bright"].item() == pytest.approx(views.images.mean().item())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", REPEATED)
def test_nothing_of_a_step_that_is_repeated_is_refused(name: str, precision: Any) -> None:
    matcher: Matcher = REGISTRY.get("matcher", name)()
    problem = replace(problem_for(matcher), compute=Compute(KIND, precision))
    with pretended_accelerator():
        images = problem.normalization.normalize(real_start(problem).images.to(KIND)).requires_grad_(True)
        match, targets = matcher.bind(problem.seen_by(matcher)), problem.targets().to(KIND)
        given: Any = recorded._Given(images, targets, 1, problem.network)
        match(given)  # what it makes once, it makes here
        with recorded._Watched():
            terms, gradient = recorded._once(match, given)
    assert terms and bool(gradient.cpu().any())


@on_gpu
@pytest.mark.parametrize("name", REGISTRY.names("matcher"))
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_recorded_steps_give_what_others_do(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher: Matcher = REGISTRY.get("matcher", name)()
    problem = replace(problem_for(matcher), compute=Compute("cuda", precision))
    seen, start, plan = problem.seen_by(matcher), Latents.of(problem, real_start(problem)), two_groups(problem, 12)

    repeated = 0
    plain = recorded._Step.repeat

    def repeat(self: Any, *given: Tensor) -> Any:
        nonlocal repeated
        repeated += 1
        return plain(self, *given)

    def run() -> tuple[Tensor, Any]:
        made = loop.recover_group(seen, start, plan, 0, matcher, lambda _done, _terms: None)
        return made.latents.images["images"], made.curves

    monkeypatch.setattr(recorded._Step, "repeat", repeat)
    stream = torch.cuda.current_stream()
    found, curves = run()
    assert torch.cuda.current_stream() == stream
    torch.rand(1, device="cuda")  # which a recording that broke off makes impossible
    assert bool(repeated) == (name in REPEATED)
    monkeypatch.setattr(recorded, "FIRST", 1000)
    wanted, other = run()
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    for term, values in other.items():
        assert curves[term] == pytest.approx(values, rel=1e-2, abs=1e-3)
