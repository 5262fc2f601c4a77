"""DELT's recovery against what the published loop printed: who joins when, and through the host's loop what becomes of them."""

from __future__ import annotations

import pytest

from delt_plugins.delt.early_late import EarlyLate
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from made_inputs import waves
from made_problem import CIFAR, check_recovery, check_statistics, made_problem, method_row
from published import golden

FIGURES = golden("delt_recover")
CLASSES, LENGTH = 4, 5


@pytest.mark.parametrize("case", FIGURES["joins"])
def test_images_join_in_the_published_rounds(case: str) -> None:
    """Batch by batch: how many rounds are left, and the first one of every image."""
    ipc, rounds = map(int, case.split())
    plan = EarlyLate(iterations=rounds * LENGTH, round_iterations=LENGTH).plan(made_problem(CLASSES, 8, ipc, CIFAR))
    batches = []
    for group in plan.groups:
        joins = {
            unit: next(number for number, phase in enumerate(group.phases) if place < phase.active)
            for place, unit in enumerate(group.images)
        }
        batches.append([len(group.phases), "".join(str(joins[unit]) for unit in sorted(joins))])
        assert group.iterations == len(group.phases) * LENGTH
    assert batches == FIGURES["joins"][case]


def test_recovery_is_the_published_loop_step_by_step() -> None:
    """Four rounds of two steps of Adam under the method's own settings, six images a class."""
    problem, row = made_problem(CLASSES, 32, 6, CIFAR), method_row("delt", "cifar10", 6)
    assert row.scheduler is not None
    plan = row.scheduler.component.with_iterations(8, round_iterations=2).plan(problem)
    assert [phase.active for phase in plan.groups[0].phases] == [8, 16, 20, 24]
    check_recovery(FIGURES["run"], row, problem, waves(24, 3, 32, 32, low=-2.5, high=2.5), plan)


def test_statistics_and_their_gradient_are_the_published_hooks() -> None:
    (theirs,) = FIGURES["hooks"].values()
    check_statistics(theirs, BatchNormMatching(weight=1.0))
