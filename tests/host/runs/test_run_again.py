"""The same run in the same folder once more: what is the same, what is found again, and what is not touched."""

from __future__ import annotations

import itertools
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from test_run_folder import RUN, TINY, call, refused

from delt_host.basics.errors import RunError
from delt_host.contracts.results import read_results
from delt_host.stages import story


@pytest.fixture
def _own_threads() -> Iterator[None]:
    """A command sets its process's number of threads, and here that is the tests'."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_own_threads")
def test_another_number_of_threads_is_no_other_recipe_and_other_images_are_no_same_run(tmp_path: Path) -> None:
    for name, level in (("here", 10), ("there", 200)):
        for split, label in itertools.product(("train", "test"), ("a", "b")):
            folder = tmp_path / name / "images" / split / label
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (level, len(label), 0)).save(folder / "0.png")
    folder_run = [each for each in TINY if not each.startswith("dataset.")]
    del folder_run[folder_run.index("--set")]
    os.chdir(tmp_path / "here")
    call(*folder_run, "--dataset", "folder:images", "--out", "../made", "--threads", "1")
    call(*folder_run, "--dataset", "folder:images", "--out", "../made", "--threads", "2")
    assert tomllib.loads((tmp_path / "made/experiment.toml").read_text())["threads"] == 2
    former = (tmp_path / "made/results.json").read_bytes()
    os.chdir(tmp_path / "there")
    assert "is of another recipe" in refused(*folder_run, "--dataset", "folder:images", "--out", "../made")
    shutil.rmtree(tmp_path / "here" / "images")
    shutil.copytree("images", tmp_path / "here" / "images")
    os.chdir(tmp_path / "here")
    said = refused(*folder_run, "--dataset", "folder:images", "--out", "../made", kind=RunError)
    assert "has the results of other images" in said and (tmp_path / "made/results.json").read_bytes() == former


def test_a_set_that_lies_beside_a_damaged_one_is_found_again(small_run: Path) -> None:
    (small_run / "delt/seed-0/distilled.safetensors").write_bytes(b"")
    call(*RUN, "--out", small_run)
    there = sorted(each.name for each in (small_run / "delt").iterdir())
    call(*RUN, "--out", small_run)
    assert sorted(each.name for each in (small_run / "delt").iterdir()) == there
    assert list_of_sets(small_run) <= {str(path.relative_to(small_run)) for path in small_run.glob("*/seed-*")}


def list_of_sets(run: Path) -> set[str]:
    return {each.folder for each in read_results(run).sets}


def test_what_another_process_writes_is_left_where_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other" / ".writing-abc").mkdir(parents=True)
    (tmp_path / "other" / "thesis.txt").touch()
    refused(*TINY, "--out", "other")
    assert (tmp_path / "other" / ".writing-abc").is_dir()


def test_a_recipe_that_was_removed_meanwhile_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = story.prepare_run

    def prepared(*arguments: Any, **named: Any) -> Any:
        shutil.rmtree(tmp_path / "made")
        return make(*arguments, **named)

    monkeypatch.setattr(story, "prepare_run", prepared)
    call(*TINY, "--out", "made")
    assert {"experiment.toml", "results.json"} <= {each.name for each in (tmp_path / "made").iterdir()}
