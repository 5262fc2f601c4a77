"""`delt-host try`: what something does within seconds, and what is said of one that breaks a promise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from commands import delt_host
from conftest import ROOT, SQUEEZED
from delt_host.basics.errors import InputError, RunError
from delt_plugins.kit import try_out

MINE = """
import time

from torch import nn

from delt_host import Matcher
from helpers import scaled


class Mine(Matcher):
    weight: float = 1.0
    \"""Of the first term.\"""

    def bind(self, problem):
        network = problem.network

        def match(views):
            logits = network(views.images).float()
            return {
                "first": self.weight * scaled(logits).view(views.groups, -1).mean(1),
                "still": logits.detach().mean().expand(views.groups),
            }

        return match


class Forgets(Mine):
    def bind(self, problem):
        count, match = [0], super().bind(problem)

        def counted(views):
            count[0] += 1
            terms = match(views)
            return {name: count[0] * term for name, term in terms.items()}

        return counted


class Raises(Mine):
    def bind(self, problem):
        return lambda views: {"first": views.nothing}


def net(num_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, num_classes))
"""
OPTIONS = {"dataset.image_size": 8, "teacher.epochs": 4}
"""Those of the teacher that tests share."""


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, with_teacher: None) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helpers.py").write_text("def scaled(logits):\n    return logits.square()\n")


def test_a_matcher_is_seen_term_by_term_and_image_by_image(tmp_path: Path) -> None:
    trial = try_out("./mine.py:Mine", options=OPTIONS, picture=tmp_path / "seen.png", kit=False)
    figures = trial.figures
    assert set(figures["terms"]) == {"first", "still"} and len(figures["loss"]) == 20
    assert figures["gradient"]["first"] > 0 == figures["gradient"]["still"]
    assert figures["loss"][-1] < figures["loss"][0], "Adam lowers it"
    assert figures["seconds"] > 0 < figures["seconds of batch-norm"]
    assert trial.picture is not None and trial.picture.read_bytes().startswith(b"\x89PNG")
    assert trial.images is not None and len(trial.images) == 2 * 20
    before, after = trial.images.read(torch.arange(40)).split(20)
    assert not torch.equal(before, after)
    twice = try_out("./mine.py:Mine", options={**OPTIONS, "matcher.weight": 2}, kit=False).figures
    assert twice["terms"]["first"] == pytest.approx(2 * figures["terms"]["first"], rel=1e-4)
    assert twice["gradient"]["first"] == pytest.approx(2 * figures["gradient"]["first"], rel=1e-2)


def test_what_the_kit_says_is_a_line_for_each_promise() -> None:
    found = try_out("./mine.py:Mine", options=OPTIONS).findings
    assert [(each.promise, each.broken, each.note) for each in found] == [
        ("options that survive a recipe", "", ""),
        ("code that keys can see", "", ""),
        ("the contract of its kind", "", ""),
        ("a run without a teacher", "", ""),
        ("the same from the store", "", ""),
        ("the same in another process", "", ""),  # which loads the file, too
    ]
    broken = try_out("./mine.py:Forgets", options=OPTIONS)
    assert not broken.passes
    assert broken.findings[-1].broken.startswith("Forgets: a group that goes on after a kill comes out differently")


def test_one_that_fails_says_where() -> None:
    with pytest.raises(RunError, match=r"matcher mine.py:Raises of /.*/mine.py: .*'nothing' \(mine.py, line 41\)"):
        try_out("./mine.py:Raises", options=OPTIONS)
    with pytest.raises(InputError, match="no matcher in this run has an option 'heavy'"):
        try_out("./mine.py:Mine", options={**OPTIONS, "matcher.heavy": 1})
    with pytest.raises(InputError, match="hard is a relabeler and a regime: say which with --kind"):
        try_out("hard")
    with pytest.raises(InputError, match="unknown name 'delta'; did you mean 'delt'"):
        try_out("delta")


def test_other_kinds_show_what_they_are() -> None:
    plan = try_out("early-late", options={**OPTIONS, "scheduler.iterations": 16}, kit=False)
    assert plan.figures["image_iterations"] > 0 and "phase 1 of the first group" in str(plan)
    start = try_out("real", "initializer", options=OPTIONS, kit=False)
    assert start.images is not None and len(start.images) == 20
    network = try_out("./mine.py:net", options=OPTIONS, kit=False).figures
    assert (network["parameters"], network["output"]) == (3 * 64 * 10 + 10, [64, 10])
    data = try_out("digits", options={"dataset.image_size": 8}, kit=False)
    assert sum(data.figures["train"]) == 1352 and data.images is not None and len(data.images) == 80
    method = try_out("cda", options=OPTIONS, kit=False)
    assert {"terms", "plan"} <= set(method.figures)
    labels = try_out("fkd", options=OPTIONS, kit=False)
    assert labels.figures["label_bytes"] > 0 and 0 <= labels.figures["agrees"] <= 1
    assert "time" in try_out("cost", options=OPTIONS, kit=False).figures["scores"]
    assert try_out("mosaic", options=OPTIONS).passes


def test_the_matcher_of_the_documentation_does_as_it_is_said(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text()
    text = page.partition("```python\n")[2].partition("```")[0]
    (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    seen = try_out("./mine.py:Mine", options={**OPTIONS, "matcher.weight": 0.5})
    assert seen.passes and set(seen.figures["terms"]) == {"pull"}


def test_the_command_prints_it_and_names_the_picture(tmp_path: Path) -> None:
    done = delt_host("try", "./mine.py:Mine", *SQUEEZED, "--no-kit", "-q")
    assert done.returncode == 0, done.stderr
    assert "matcher mine.py:Mine\nfirst terms: first " in done.stdout
    assert f"images: {tmp_path}/try-mine.py-Mine.png" in done.stdout
    assert (tmp_path / "try-mine.py-Mine.png").is_file()
    done = delt_host("try", "./mine.py:Forgets", *SQUEEZED, "-q")
    assert done.returncode == 1 and "BROKEN: the contract of its kind; Forgets: a group that goes on" in done.stdout
    assert "mine.py:Forgets breaks 1 of its promises" in done.stderr
