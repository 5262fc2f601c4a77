"""What recovery costs, counted and measured, and comparisons in which all rows have the same budget."""

from __future__ import annotations

import dataclasses
import mmap
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from conftest import lines_of
from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_host.compare.lines import Line
from delt_host.contracts.problem import Problem
from delt_host.contracts.sets import Cost, Distilled
from delt_host.experiment.experiment import Budget
from delt_host.recovery.cost import multiply_adds, peak_memory
from delt_host.recovery.latents import Latents
from delt_host.stages import budget
from delt_plugins.delt.early_late import EarlyLate
from delt_plugins.evaluators.cost import CostOfRecovery
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.sre2l.noise import Noise
from delt_plugins.sre2l.schedule import Constant

pytestmark = pytest.mark.usefixtures("with_teacher")

RUN = [
    "run", "-m", "delt", "-b", "cda", "--ipc", "4", "--seeds", "1", "--set", "dataset.image_size=8", "--set",
    "teacher.epochs=4", "--set", "scheduler.iterations=16", "--set", "protocol.epochs=2", "-q", "--out", "made",
]  # fmt: skip


def run(tmp_path: Path, *more: str) -> tuple[str, dict[str, Line]]:
    result = CliRunner().invoke(cli, [*RUN, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split()), lines_of(tmp_path / "made")


def test_multiply_adds_are_those_of_the_network_and_the_views(problem: Problem) -> None:
    """Each convolution and the classifier once forward and once back to the pixels; two matrix products a view, likewise."""
    scheduler = EarlyLate(iterations=16, round_iterations=4)
    plan = scheduler.plan(problem)
    start = Latents.of(problem, Noise().initialize(problem, range(problem.num_classes)))
    counted = multiply_adds(problem, start, plan, BatchNormMatching())
    network = sum(9 * 128 * channels * side**2 for channels, side in ((3, 8), (128, 4), (128, 2))) + 128 * 10
    views = 2 * 3 * 8**3
    assert counted == pytest.approx(2 * (network + views) * plan.image_iterations, rel=0.01)


def test_peak_memory_sees_what_was_there_only_for_a_while() -> None:
    with peak_memory("cpu") as small:
        pass
    with peak_memory("cpu") as large:
        # Fresh pages of its own: what an allocator kept from an earlier test would be in the peak before.
        pages = mmap.mmap(-1, 64 * 2**20)
        for place in range(0, len(pages), mmap.PAGESIZE):
            pages[place] = 1
        pages.close()
    assert 60 * 2**20 < large.size_bytes - small.size_bytes < 100 * 2**20


def test_cost_evaluator_says_what_was_written_down(problem: Problem) -> None:
    pixels = torch.zeros(40, 3, 8, 8, dtype=torch.uint8)
    bare = Distilled.of(pixels, problem.targets())
    with pytest.raises(InputError, match="nobody wrote down"):
        CostOfRecovery().evaluate(problem, bare, None)
    known = dataclasses.replace(bare, cost=Cost(2_000_000, 3e12, 8.0, float("nan")))
    scores = CostOfRecovery().evaluate(problem, known, None).scores
    assert scores == {
        "time": 8.0,
        "image-iterations": 2e6,
        "tera-multiply-adds": 3.0,
        "image-kib": 7.5,
        "seconds-per-mega-image-iteration": 4.0,
    }


@pytest.mark.parametrize(
    ("scheduler", "share", "iterations", "length"),
    [
        (EarlyLate(iterations=4000), 0.5, 2000, 0),
        (EarlyLate(iterations=4000, round_iterations=250), 0.61, 2432, 152),
        (EarlyLate(iterations=8), 0.01, 8, 0),
        (Constant(iterations=1000), 0.6375, 638, None),
    ],
)
def test_a_stretched_schedule_keeps_its_rounds(
    scheduler: Constant | EarlyLate, share: float, iterations: int, length: int | None
) -> None:
    stretched = scheduler.stretched(share)
    assert (stretched.iterations, getattr(stretched, "round_iterations", None)) == (iterations, length)


def test_image_iterations_are_matched_and_the_table_says_how(tmp_path: Path) -> None:
    said, lines = run(tmp_path, "--match", "image-iterations", "--evaluator", "student", "--evaluator", "cost")
    ours, theirs = (lines[name].row.cost.image_iterations for name in ("delt", "cda"))
    assert abs(theirs - ours) <= 20 and theirs < 640  # an iteration of all 40 images is the grain; its own are 640
    assert "cda: 640 of its own image-iterations brought to" in said
    assert "random-real: optimises nothing" in said
    assert "cost of recovery" in said


def test_seconds_are_matched_by_a_pace_that_is_timed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = budget.recover_group
    timed: list[str] = []

    def counted(*arguments: object) -> object:
        timed.append("")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(budget, "recover_group", counted)
    _, lines = run(tmp_path, "--match", "seconds")
    assert 0 < lines["cda"].row.cost.image_iterations != 640
    first = len(timed)
    _, again = run(tmp_path, "--match", "seconds")
    assert len(timed) == first, "the pace is kept: a second run finds everything in the store"
    assert again["cda"].row == lines["cda"].row


@pytest.mark.parametrize("text", ["hours", "seconds=0", "seconds=-1", "seconds=nan", "seconds=many", "bytes"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--match .*: it is one of image-iterations, seconds, or"):
        Budget.parse(text)
