"""The store: nothing twice, nothing half, nothing damaged unnoticed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_host.store.entry import UNFINISHED
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store


def work(calls: list[int]) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    calls.append(1)
    return {"x": torch.arange(6).view(2, 3)}, {"note": "ok"}


def test_the_same_inputs_are_computed_once(tmp_path: Path) -> None:
    calls: list[int] = []
    store = Store(tmp_path / "s")
    first = store.make("stage", {"a": 1}, lambda: work(calls))
    again = Store(tmp_path / "s").make("stage", {"a": 1}, lambda: work(calls))
    assert len(calls) == 1 and not first.cached and again.cached
    assert torch.equal(first.tensors["x"], again.tensors["x"])
    assert again.facts["note"] == "ok" and again.facts["seconds"] >= 0
    store.make("stage", {"a": 2}, lambda: work(calls))
    store.make("other", {"a": 1}, lambda: work(calls))
    assert len(calls) == 3


@pytest.mark.parametrize("damage", ["flip", "truncate", "folder"])
def test_a_damaged_file_is_named_and_made_anew(tmp_path: Path, damage: str) -> None:
    said: list[str] = []
    calls: list[int] = []
    store = Store(tmp_path / "s", warn=said.append)
    entry = store.make("stage", {}, lambda: work(calls))
    file = store.place("stage", entry.key)
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()
        (file / "inside").mkdir(parents=True)
    again = store.make("stage", {}, lambda: work(calls))
    assert len(calls) == 2 and torch.equal(again.tensors["x"], entry.tensors["x"])
    assert str(file) in said[0] and "damaged" in said[0]
    assert store.make("stage", {}, lambda: work(calls)).cached


def test_failed_work_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def fail() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make("stage", {}, fail)
    assert [path.name for path in (tmp_path / "s").iterdir()] == [".locks"]


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"the store .*file cannot be written: .*; choose another with --store"):
        Store(tmp_path / "file")


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["store", *arguments])
    return result.exit_code, result.output if not result.exception else f"{result.output}{result.exception}"


REMEMBERED = {"by": {"class": "a.b.Mine"}, "inputs": {"seed": 3}}


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Two entries, a checkpoint, and what a killed process left two days ago."""
    store = Store(tmp_path / "store")
    store.make("recover", REMEMBERED, lambda: ({"x": torch.arange(100)}, {}))
    store.resume("scores", {}, lambda _point: ({}, {"top1": 1.0}), "delt, seed 4")
    Checkpoint(store.root / UNFINISHED / "recover-1").save({"x": torch.ones(3)}, {})
    old = store.root / ".writing-abc"
    old.mkdir()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    return store.root


def test_the_store_is_listed(filled: Path) -> None:
    code, said = call("--json")
    rows = json.loads(said)
    assert code == 0 and [row["stage"] for row in rows] == ["unfinished", "left over", "recover", "scores"]
    assert [row["about"] for row in rows[2:]] == ["Mine, seed 3", "delt, seed 4"] and rows[2]["bytes"] > 800
    code, said = call()
    assert code == 0 and "recover" in said and "today" in said


@pytest.mark.parametrize("place", range(30))
def test_a_flipped_bit_anywhere_is_named_and_rebuilt(filled: Path, place: int) -> None:
    path = next(filled.glob("recover/*"))
    content = bytearray(path.read_bytes())
    at = place * (len(content) - 1) // 29
    content[at] ^= 1 << (place % 7)
    path.write_bytes(content)
    code, said = call("verify")
    assert code != 0 and str(path) in said
    said_by_run: list[str] = []
    store = Store(filled, said_by_run.append)
    entry = store.make("recover", REMEMBERED, lambda: ({"x": torch.arange(100)}, {}))
    assert not entry.cached and torch.equal(entry.tensors["x"], torch.arange(100))
    assert "is damaged" in said_by_run[0] and str(path) in said_by_run[0]
    assert call("verify")[0] == 0


def test_damaged_entries_are_removed_on_request(filled: Path) -> None:
    next(filled.glob("recover/*")).write_bytes(b"no")
    assert "removed" in call("verify", "--remove")[1]
    assert call("verify")[0] == 0 and not list(filled.glob("recover/*"))


def test_prune_takes_what_was_asked_for_and_what_the_dead_left(filled: Path) -> None:
    assert "1 of 4 entries" in call("prune", "--dry-run")[1] and (filled / ".writing-abc").exists()
    assert call("prune", "--yes")[0] == 0
    assert not (filled / ".writing-abc").exists() and len(list(filled.glob("recover/*"))) == 1
    assert "unknown stage" in call("prune", "--stage", "recovr")[1]
    assert "nothing to remove" in call("prune", "--older-than", "3")[1]
    assert call("prune", "--stage", "recover", "-y")[0] == 0
    assert not list(filled.glob("recover/*")) and list(filled.glob("scores/*"))


def test_an_entry_that_was_read_today_is_not_old(filled: Path) -> None:
    (place,) = filled.glob("scores/*")
    os.utime(place, (time.time() - 5 * 86400,) * 2)
    asked = ["prune", "--stage", "scores", "--older-than", "3"]
    assert "2 of 4 entries" in call(*asked, "--dry-run")[1], "this one, and what the dead left"
    assert Store(filled).read("scores", {}) is not None
    assert call(*asked, "--yes")[0] == 0 and place.is_file()


def test_a_store_that_was_moved_is_as_good(filled: Path, tmp_path: Path) -> None:
    filled.rename(tmp_path / "elsewhere")
    assert Store(tmp_path / "elsewhere").read("scores", {}).facts["top1"] == 1.0  # type: ignore[union-attr]
    assert "there is no store at" in call("verify")[1]
    assert call("verify", "--store", str(tmp_path / "elsewhere"))[0] == 0
