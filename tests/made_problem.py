"""Problems made of made inputs, and the host's loop of recovery on them under draws that are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import FP32
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.experiment.rows import Row
from delt_host.plugins.registry import load_registry
from delt_host.recovery import views
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import assemble, recover_group
from delt_plugins.kit import views_of
from made_inputs import SmallNetwork, made_crop, made_mirror, made_shift, waves
from published import places_of

CIFAR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
TINY = ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and std, as the published loops have them."""

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]


def made_problem(
    classes: int, size: int, ipc: int, statistics: Statistics, images: Tensor | None = None, each: int = 1
) -> Problem:
    """Black images, or `each` given ones a class, and `SmallNetwork` as the teacher."""
    names, (mean, std) = tuple(map(str, range(classes))), statistics
    targets = torch.arange(classes).repeat_interleave(each)
    images = torch.zeros(classes * each, 3, size, size, dtype=torch.uint8) if images is None else images
    split = MemorySplit(images, targets)
    data = RealData("made", names, size, mean, std, split, split, "made")
    with isolated_rng(0, "made"):  # layers draw weights, which made ones then replace
        teacher = Teacher("small", SmallNetwork(classes).state_dict(), names, mean, std, size)
    models = {"small": lambda classes, _size: SmallNetwork(classes)}
    return Problem(data, (teacher,), ipc, 0, Protocol(), FP32, models=models)


def method_row(method: str, dataset: str, ipc: int) -> Row:
    """What a run of a method on a dataset would take."""
    return resolve(Request(method=[method], dataset=dataset, ipc=ipc), load_registry()).rows[0]


@contextmanager
def given_draws() -> Iterator[dict[str, list[Any]]]:
    """In place of draws for a group's views the made ones; yields what was asked for: `crop`, lower ends; `shifts`, ranges."""
    asked: dict[str, list[Any]] = {"crop": [], "shifts": []}

    def crop(_rng: torch.Generator, _count: int, size: int, scale: Sequence[float]) -> Tensor:
        asked["crop"].append(scale[0])
        return torch.tensor([made_crop(len(asked["crop"]) - 1, size)])

    def mirror(_count: int, generator: torch.Generator) -> Tensor:
        return torch.tensor([0.1 if made_mirror(len(asked["crop"]) - 1) else 0.9])

    def shift(low: int, end: int, _shape: Sequence[int], generator: torch.Generator) -> Tensor:
        asked["shifts"].append([low, end - 1])
        return torch.tensor(made_shift(len(asked["shifts"]) - 1, low, end - 1)).view(2, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "draw_crops", crop)
        patch.setattr(torch, "rand", mirror)
        patch.setattr(torch, "randint", shift)
        yield asked


def recover_as_given(
    row: Row, problem: Problem, start: Tensor, plan: Plan
) -> tuple[Tensor, dict[str, list[float]], dict[str, list[Any]]]:
    """The row's first group through the host's loop, from normalised images (N, 3, S, S): images in the set's order, loss
    curves, and what was drawn."""
    assert row.matcher is not None
    latents = Latents({"images": start}, problem.unit_targets())
    with given_draws() as asked:
        made = recover_group(problem, latents, plan, 0, row.matcher.component, lambda _done, _terms: None)
    return assemble(latents, plan, [0], [made.latents]).images["images"], made.curves, asked


def check_recovery(theirs: dict[str, Any], row: Row, problem: Problem, start: Tensor, plan: Plan) -> None:
    """Rates, crops, losses in every step, pixels after the last, and their levels, against a published loop's figures."""
    (group,) = plan.groups
    phases = [phase for phase in group.phases for _ in range(phase.iterations)]
    assert [phase.rates["images"].at(step) for step, phase in enumerate(phases)] == pytest.approx(
        theirs["rate"], rel=1e-6
    )
    assert plan.learns[0].settings == {"betas": tuple(theirs["betas"]), "eps": theirs["eps"]}
    assert problem.unit_targets()[sorted(group.images)].tolist() == theirs["targets"]

    made, curves, asked = recover_as_given(row, problem, start, plan)
    assert asked["crop"] == pytest.approx(theirs["crop"], rel=1e-6)
    drawn = asked["shifts"] or [[0, 0]]
    assert all(each == theirs["shifts"] for each in drawn)
    assert row.matcher is not None
    weight = row.matcher.component.model_dump()["weight"]
    statistics = [weight * (10 * first + sum(others)) for first, *others in theirs["statistics"]]
    ours = [mean + variance for mean, variance in zip(curves["mean"], curves["variance"], strict=True)]
    assert curves["cross-entropy"] == pytest.approx(theirs["entropy"], rel=1e-3)
    assert ours == pytest.approx(statistics, rel=1e-3)

    assert places_of(made).tolist() == pytest.approx(theirs["pixels"]["some"], abs=2e-3)
    assert float(made.norm()) == pytest.approx(theirs["pixels"]["norm"], rel=1e-5)
    assert float(made.mean()) == pytest.approx(theirs["pixels"]["mean"], abs=1e-4)
    levels = problem.normalization.denormalize(made, "floor").long()
    assert places_of(levels).tolist() == pytest.approx(theirs["levels"]["some"], abs=1)
    assert int(levels.sum()) == pytest.approx(theirs["levels"]["sum"], rel=1e-4)


def check_statistics(theirs: dict[str, Any], matcher: Matcher) -> None:
    """The term of statistics of made images, and its gradient, against a published hook's figures."""
    problem = made_problem(4, 32, 1, CIFAR)
    images = waves(4, 3, 32, 32).requires_grad_(True)
    terms = matcher.bind(problem)(views_of(problem, images, torch.arange(4)))
    total = terms["mean"] + terms["variance"]
    first, *others = theirs["layers"]
    assert float(total.detach()) == pytest.approx(10 * first + sum(others), rel=1e-5)
    (gradient,) = torch.autograd.grad(total.sum(), images)
    assert float(gradient.norm()) == pytest.approx(theirs["gradient"], rel=1e-4)
