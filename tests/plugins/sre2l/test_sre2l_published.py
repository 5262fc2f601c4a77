"""SRe2L and CDA against what their published loops printed: through the host's loop, with the same draws."""

from __future__ import annotations

import pytest

from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.sre2l.schedule import Constant
from made_inputs import waves
from made_problem import CIFAR, IMAGENET, TINY, check_recovery, check_statistics, made_problem, method_row
from published import golden

FIGURES = golden("sre2l_recover")
SETS = {"cifar100": (32, CIFAR), "tiny-imagenet": (64, TINY), "imagenet": (224, IMAGENET)}
BATCH = 4


@pytest.mark.parametrize(
    "loop", ["sre2l imagenet", "sre2l tiny-imagenet", "sre2l cifar100", "cda imagenet", "cda tiny-imagenet"]
)
def test_recovery_is_the_published_loop_step_by_step(loop: str) -> None:
    """Under the method's own settings for the dataset: rates, crops, losses, and pixels after six steps of Adam."""
    method, dataset = loop.split()
    size, statistics = SETS[dataset]
    problem = made_problem(BATCH, size, 1, statistics)
    row = method_row(method, dataset, 1)
    assert row.scheduler is not None
    plan = row.scheduler.component.with_iterations(FIGURES["iterations"]).plan(problem)
    check_recovery(FIGURES[loop], row, problem, waves(BATCH, 3, size, size, low=-2.5, high=2.5), plan)


@pytest.mark.parametrize("case", [name for name in FIGURES["curriculum"] if name != "iterations"])
def test_the_crops_lower_end_is_cdas_in_every_step(case: str) -> None:
    shape, milestone = case.split()
    span = {"crop": "constant"} if milestone == "0" else {"crop": shape, "milestone": float(milestone)}
    iterations = FIGURES["curriculum"]["iterations"]
    plan = Constant(iterations=iterations, **span).plan(made_problem(2, 16, 1, TINY))  # type: ignore[arg-type]
    crops = [plan.groups[0].phases[0].min_crop.at(step) for step in range(iterations)]
    assert crops == pytest.approx(FIGURES["curriculum"][case], rel=1e-6)


@pytest.mark.parametrize("file", FIGURES["hooks"])
def test_statistics_and_their_gradient_are_the_published_hooks(file: str) -> None:
    check_statistics(FIGURES["hooks"][file], BatchNormMatching(weight=1.0))
