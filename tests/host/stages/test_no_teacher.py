"""A run without a teacher: images are normalised by the data's own statistics, and whoever asks a teacher is told."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import delt_host
from conftest import lines_of
from delt_host.basics.errors import RunError
from delt_host.cli import cli
from delt_host.contracts.dataset import RealData
from delt_host.contracts.problem import Problem
from delt_host.contracts.results import read_results
from delt_host.images.normalization import Normalization
from delt_plugins.controls.real import Real
from delt_plugins.dm.distribution import DistributionMatching

SMALL = [
    "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8", "--set", "scheduler.iterations=4",
    "--set", "protocol.epochs=1", "-q", "--teacher", "none",
]  # fmt: skip


def invoke(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(cli, [*arguments]).exception


def test_the_problem_without_a_teacher_has_the_datas_normalisation(problem: Problem, digits: RealData) -> None:
    data = replace(digits, mean=(0.1, 0.2, 0.3))
    bare = replace(problem, data=data, teachers=())
    assert bare.normalization == Normalization(data.mean, data.std) == bare.seen_by(Real()).normalization
    assert bare.settled and bare.inputs()["teachers"] == []
    for ask in (lambda p: p.teacher, lambda p: p.network, lambda p: p.teacher_logits(torch.zeros(1, 3, 8, 8))):
        with pytest.raises(RunError, match="Real asks a teacher, and this run has none: give one with --teacher MODEL"):
            ask(bare.seen_by(Real()))
    assert DistributionMatching(real_batch=4).bind(bare.seen_by(DistributionMatching())) is not None


def test_images_are_normalised_as_for_the_first_teacher_whoever_is_asked(problem: Problem) -> None:
    first, other = problem.teacher, replace(problem.teacher, mean=(0.5, 0.5, 0.5), name="other")
    both = replace(problem, teachers=(first, other))
    seen = both.seen_by(DistributionMatching(teachers=("other",)))
    assert seen.teachers == (other,) and seen.normalization == first.normalization != other.normalization
    assert seen.inputs() != replace(both, teachers=(other,)).inputs(), "the key tells what images were normalised with"


def test_a_run_needs_no_teacher_where_nobody_asks_one(tmp_path: Path) -> None:
    assert invoke("run", "-m", "dm", *SMALL, "--out", "run") is None, "hard labels alone, where nobody names a regime"
    assert not (tmp_path / "store" / "squeeze").exists()
    results = read_results(tmp_path / "run")
    assert results.teachers == () and [line.failures for line in lines_of(tmp_path / "run").values()] == [[], []]
    assert tomllib.loads((tmp_path / "run" / "experiment.toml").read_text())["teacher"] == ["none"]
    assert invoke("run", "run/experiment.toml", "-q", "--out", "again") is None
    assert read_results(tmp_path / "again").scores == results.scores, "its recipe has no teacher either"
    made = delt_host.load(tmp_path / "run" / "dm" / "seed-0" / "distilled.safetensors")
    assert made.about["teacher"] is None and len(made.normalization.mean) == 3
    for command in (["export", "run", "--to", "card", "-q"], ["evaluate", "run", "--student", "convnet3", "-q"]):
        assert invoke(*command) is None


def test_who_asks_a_teacher_all_the_same_fails_alone(tmp_path: Path) -> None:
    said = invoke("run", "-m", "dm", "--regime", "hard", "-b", "sre2l", *SMALL, "--out", "run")
    assert isinstance(said, RunError) and "failed: sre2l;" in str(said)
    lines = lines_of(tmp_path / "run")
    assert "BatchNormMatching asks a teacher, and this run has none" in lines["sre2l"].failures[0]
    assert lines["dm"].failures == []
