"""The store: nothing twice, nothing half, nothing damaged unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delt_host.errors import InputError
from delt_host.store import FACTS, TENSORS, Store


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


@pytest.mark.parametrize("name", [TENSORS, FACTS])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_file_is_named_and_made_anew(tmp_path: Path, name: str, damage: str) -> None:
    said: list[str] = []
    calls: list[int] = []
    store = Store(tmp_path / "s", warn=said.append)
    entry = store.make("stage", {}, lambda: work(calls))
    file = store.folder("stage", entry.key) / name
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "truncate":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()
    again = store.make("stage", {}, lambda: work(calls))
    assert len(calls) == 2 and torch.equal(again.tensors["x"], entry.tensors["x"])
    assert str(file.parent) in said[0] and "damaged" in said[0]
    assert store.make("stage", {}, lambda: work(calls)).cached


def test_failed_work_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def fail() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make("stage", {}, fail)
    assert list((tmp_path / "s").iterdir()) == []


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"the store .*file cannot be written: .*; choose another with --store"):
        Store(tmp_path / "file")
