"""The host without any plugin of ours: all entry points of the distribution delt-host are hidden."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from commands import MAIN, Done, python

DATA = """
import torch
from delt_host import Dataset, MemorySplit, RealData, hookimpl

class Stripes(Dataset):
    \"\"\"Two classes of 8 px: upright and lying stripes, with noise.\"\"\"

    def load(self, services=None):
        def split(seed, count):
            targets = torch.arange(2).repeat(count)
            upright = (torch.arange(8) % 2 * 200).expand(8, 8)
            clean = torch.stack([upright, upright.T])[targets]
            noise = torch.randint(0, 50, (len(targets), 3, 8, 8), generator=torch.Generator().manual_seed(seed))
            return MemorySplit((clean[:, None] + noise).to(torch.uint8), targets)

        return RealData("stripes", ("upright", "lying"), 8, (0.4,) * 3, (0.3,) * 3, split(0, 20), split(1, 10), "stripes-1")

@hookimpl
def delt_datasets():
    return {"stripes": Stripes}
"""
METHOD = """
from typing import ClassVar
import torch
from torch import nn
from delt_host import Evaluation, Evaluator, Initializer, Method, Relabeler, Start, hookimpl, use

class First(Initializer):
    \"\"\"The first images of each class.\"\"\"

    def initialize(self, problem, classes):
        train = problem.data.train
        return Start(train.read(torch.cat([train.of_class(label)[: problem.count] for label in classes])))

class Nearest(Evaluator):
    \"\"\"Test images by the mean distilled image that is nearest.\"\"\"

    per: ClassVar[str] = "set"
    headline: ClassVar[str] = "top1"

    def evaluate(self, problem, distilled, taught):
        images, test = distilled.read(torch.arange(len(distilled))).float(), problem.data.test
        means = torch.stack([images[distilled.targets == label].mean(0).flatten() for label in range(2)])
        found = torch.cdist(test.read(torch.arange(len(test))).float().flatten(1), means).argmin(1)
        return Evaluation({"top1": 100.0 * float((found == test.targets).float().mean())}, {})

class Classes(Relabeler):
    \"\"\"The class alone.\"\"\"

    asks: ClassVar[str] = "class"

@hookimpl
def delt_relabelers():
    return {"classes": Classes}

@hookimpl
def delt_initializers():
    return {"first": First}

@hookimpl
def delt_evaluators():
    return {"nearest": Nearest}

@hookimpl
def delt_methods():
    return {"first": Method(summary="the first images", initializer=use("first"))}
"""
DATA_OPTIONS, REGIME, EVALUATOR = ["--dataset", "stripes"], ["--regime", "classes:fair"], ["--evaluator", "nearest"]
BARE = ["run", "-m", "first", "--no-controls", "--teacher", "none", "--ipc", "2", "--seeds", "1", "--out", "made"]
RUN = [*BARE, *DATA_OPTIONS, *REGIME, *EVALUATOR]


def alone(folder: Path, *arguments: str) -> Done:
    """`delt-host ARGUMENTS` in an interpreter that finds a distribution delt-host without entry points first."""
    info = folder / "delt_host-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: delt-host\nVersion: 0.1.0\n")
    script = (
        "import sys\nfrom delt_host.cli import main\ntry: main()\n"
        "finally: assert not any(name.startswith('delt_plugins') for name in sys.modules), 'the host imports its plugins'"
    )
    assert MAIN[0] == "-c"
    return python("-c", script, *arguments, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, anew=True)


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    """A folder with a plugin of two files."""
    for name, text in (("stripes", DATA), ("first", METHOD)):
        (tmp_path / f"{name}_plugin.py").write_text(text)
    info = tmp_path / "two_files-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: two-files\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[delt_host]\nstripes = stripes_plugin\nfirst = first_plugin\n")
    return tmp_path


def test_it_starts_and_says_what_it_can_do(tmp_path: Path) -> None:
    done = alone(tmp_path, "--help")
    assert done.returncode == 0 and done.stderr == ""
    commands = done.stdout.partition("Commands:")[2].split("\n")
    assert [line.split()[0] for line in commands if line] == ["run"]


def test_two_files_of_somebody_elses_make_a_whole_run(two_files: Path) -> None:
    done = alone(two_files, *RUN)
    assert done.returncode == 0, done.stderr
    assert "Nearest" in done.stdout and "100.0" in done.stdout
    (score,) = json.loads((two_files / "made" / "results.json").read_text())["scores"]
    assert score["scores"] == {"top1": 100.0}


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["run", "-m", "delt"], "dataset 'digits'"),
        (["run", "-m", "delt", "--dataset", "stripes"], "method 'delt'"),
        (["run", "-m", "first", "--dataset", "stripes"], "method 'random-real'"),
        ([*BARE, *REGIME, *EVALUATOR], "dataset 'digits'"),
        ([*BARE, *DATA_OPTIONS, *EVALUATOR], "regime 'hard'"),
        ([*BARE, *DATA_OPTIONS, *REGIME], "evaluator 'student'"),
        (["run", "-m", "first", "--no-controls", *DATA_OPTIONS, *REGIME, *EVALUATOR], "squeezer 'ordinary'"),
        (["doctor"], "command 'doctor'"),
    ],
)
def test_what_is_missing_is_one_sentence(two_files: Path, arguments: list[str], missing: str) -> None:
    done = alone(two_files, *arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    (said,) = [line for line in done.stderr.splitlines() if "unknown" in line]
    assert missing in said and "delt-host's own plugins are not installed" in said
