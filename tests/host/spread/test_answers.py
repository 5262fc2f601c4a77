"""What a worker's process answers to each piece, in this process: pieces in a list, answers into another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from delt_host.contracts.observer import Observer
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.spread import answers
from delt_host.spread.task import Description, tasks
from delt_host.stages.host import Host
from delt_host.stages.story import prepare_run
from delt_host.store.store import Store


class Over(Exception):
    """Nothing more is asked for."""


def answered(begin: Mapping[str, Any], *pieces: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Everything that is answered, what is said of how far a piece is left out."""
    told: list[dict[str, Any]] = []

    def asked() -> Iterator[Mapping[str, Any]]:
        yield begin
        yield from pieces
        raise Over

    coming = asked()
    with suppress(Over):
        answers.answer(lambda: next(coming), lambda **answer: told.append(answer))
    return [answer for answer in told if "share" not in answer]


def test_what_became_of_each_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "own_process", lambda _threads: None)  # it is not
    store, registry = Store(tmp_path), load_registry()
    options = {"dataset.image_size": 8, "protocol.epochs": 1, "matcher.weight": 1e39, "scheduler.iterations": 2}
    asked = {"control": ["random-real"], "ipc": 1, "seeds": 1, "regime": ["hard"], "teacher": ["convnet3"]}
    experiment = resolve(Request(method=["cda"], set={**options, "teacher.epochs": 4}, **asked), registry)
    comparison = prepare_run(experiment, Host(registry, store, Observer()))
    found = {(task.stage, task.row): task for task in tasks(comparison, here=True)}
    begin = {
        "description": asdict(Description.of(comparison, threads=1)),
        "store": str(tmp_path),
        "checkpoint_every": 30.0,
        "debug": False,
    }
    start, group, real = found["initialize", "cda"], found["recover", "cda"], found["initialize", "random-real"]
    other = replace(real, entry=("initialize", "0" * 24))
    ready, made, lost, left, again = answered(begin, *map(asdict, (start, group, other, real)))
    assert ready == {"ready": True} and made == again == {"done": True} and store.holds(*real.entry)
    assert "became" in lost["failed"] and "batch-norm" in lost["failed"], "its loss is not finite, for good"
    assert "makes another result" in left["left"], "the run itself can make it"

    begin["description"]["recipe"]["dataset"]["name"] = "digts"
    (refused,) = answered(begin)
    assert "did you mean 'digits'" in refused["refused"]


def test_entries_made_with_other_threads_are_told_of(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    used = answers.Used(lambda **answer: told.append(answer))
    used.look(("evaluate", "ab"), {"threads": 1024})
    used.look(("evaluate", "cd"), {})
    assert told == [{"used": ("evaluate", "ab"), "made": {"threads": 1024}}]


def test_what_failed_before_is_no_piece_nor_what_needs_it(tmp_path: Path) -> None:
    asked = {"control": [], "ipc": 1, "seeds": 1, "regime": ["hard"], "teacher": ["none"]}
    rows = {"method": ["random-real"], "baseline": ["random-real,initializer=noise"]}
    registry = load_registry()
    experiment = resolve(Request(**rows, **asked, set={"dataset.image_size": 8, "protocol.epochs": 1}), registry)
    comparison = prepare_run(experiment, Host(registry, Store(tmp_path), Observer()))
    found = tasks(comparison, here=True)
    first = next(task for task in found if task.row == "random-real")
    assert first.stage == "initialize" and len({task.row for task in found}) == 2
    comparison.host.store.failed[first.entry] = "2 workers died at it"
    assert tasks(comparison, here=True) == [task for task in found if task.row != "random-real"]
