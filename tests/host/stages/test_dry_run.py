"""A dry run's answer: data that nobody has looked at, totals, and bytes beside those that a run has left."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import delt_host
from delt_host.api import outlook as asked
from delt_host.basics.seeding import generator
from delt_host.stages.estimate import ENTRY
from delt_host.store.entry import INDEX, default_store

CLASSES, TRAIN, TEST = 3, 8, 4
WANTED = {"method": ["delt"], "controls": False, "ipc": 1, "seeds": 1, "quiet": True}
SET = {"teacher.epochs": 1, "scheduler.iterations": 8, "protocol.epochs": 2}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders of bitmaps of 16 px."""
    for label in range(CLASSES):
        for split, count in (("train", TRAIN), ("test", TEST)):
            place = tmp_path / "photos" / split / f"class-{label}"
            place.mkdir(parents=True)
            for number in range(count):
                pixels = torch.randint(256, (16, 16, 3), generator=generator(label, split, number), dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(place / f"{number}.bmp")
    return tmp_path / "photos"


def test_data_that_nobody_has_looked_at_are_told_of_by_names_alone(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It walked and hashed the whole data set first: half an hour for 1.28 million files."""
    wanted = {**WANTED, "dataset": f"folder:{photos}", "set": SET}
    with monkeypatch.context() as hurried:
        hurried.setattr(asked, "PATIENCE", 0.0)
        found = delt_host.dry_run(**wanted)
    assert found.unread.startswith("Not indexed: about 36 files, as many in each class as in those that were listed.")
    assert {line.state for line in found.steps} == {"unknown"} and not found.failing
    assert found.seconds > 0 and found.bytes > 0 and found.peak_bytes > found.held_bytes > 0
    assert found.unread in " ".join(str(found).split()) and "teacher that is not there" not in str(found)
    assert not (default_store() / INDEX).exists(), "nothing was looked at"

    assert delt_host.load_data(f"folder:{photos}").unread == "", "whoever wants images waits for them"
    found = delt_host.dry_run(**wanted)
    assert found.unread == "" and found.steps[0].state == "missing"


@pytest.mark.usefixtures("small_run")
def test_what_is_kept_takes_the_bytes_that_were_said() -> None:
    """57 MiB were said, and 485 MB taken: starts, experts and scores counted as nothing."""
    told = delt_host.dry_run("made", quiet=True)
    assert {line.state for line in told.steps} == {"kept"}
    for stage, left in (
        ("squeeze", "squeeze"),
        ("prepare", "prepare"),
        ("relabel", "labels"),
        ("evaluate", "evaluate"),
    ):
        lines = [line for line in told.steps if line.stage == stage and (left != "labels" or "hard" not in line.what)]
        said = sum(line.bytes for line in lines) / sum(line.steps - line.shared for line in lines)
        files = [file for file in (default_store() / left).rglob("*") if file.is_file()]
        taken = sum(file.stat().st_size for file in files) / len(files)  # there are others' of the same form
        assert abs(said - taken) < 0.1 * taken + ENTRY, (stage, said, taken)
    kept = sum(file.stat().st_size for file in Path("made").rglob("*") if file.is_file())
    assert kept / 2 < told.folder_bytes < 2 * kept


@pytest.mark.usefixtures("with_teacher")
def test_totals_are_told_as_json_and_in_eighty_columns() -> None:
    small = {"dataset.image_size": 8, "teacher.epochs": 4, "scheduler.iterations": 16, "protocol.epochs": 2}
    found = delt_host.dry_run(**WANTED, set=small)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["bytes"] == told["store_bytes"] + told["folder_bytes"] == found.bytes
    assert told["store_bytes"] == sum(step["bytes"] for step in told["steps"])
    assert told["peak_bytes"] == found.held_bytes + max(step["peak"] for step in told["steps"])
    assert told["peak_stage"] in {step["stage"] for step in told["steps"]} and told["busy"] >= 1
    assert told["steps"][0]["state"] == "kept", "the teacher, whose network is a plugin's"
    console = Console(file=StringIO(), width=80)
    found.show(console)
    shown = console.file.getvalue()
    assert "true-class-scores" in shown and "delt, views, convnet3" in shown, "no label is folded"
    assert "of memory at most, in" in shown and "in the run's folder" in " ".join(shown.split())
