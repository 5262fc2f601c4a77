"""Threads and patch versions are facts of a result: used across them with a note, or not at all where it is strict."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import delt_host
from conftest import SMALL_RUN
from delt_host.basics.errors import InputError
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.store import made as made_module
from delt_host.store import sealed
from delt_host.store.made import made
from delt_host.store.store import Store


@pytest.fixture
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def work() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    return {"x": torch.ones(2)}, {}


def patched(monkeypatch: pytest.MonkeyPatch, **others: Any) -> None:
    now = made()
    for module in ("delt_host.store.made", "delt_host.store.store"):
        monkeypatch.setattr(f"{module}.made", lambda: {**now, **others})


def test_an_entry_says_with_what_it_was_made(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    entry = store.make("stage", {}, work)
    record = sealed.facts(store.place("stage", entry.key))
    assert record["made"]["threads"] == torch.get_num_threads() and record["made"]["torch"] == torch.__version__
    assert set(record["made"]) == {"threads", "Python", *made_module.LIBRARIES}


def test_what_differs_is_said_once_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, threads in enumerate((5, 5, 6)):
        patched(monkeypatch, threads=threads, torch="0.1")
        Store(tmp_path / "s").make("stage", {"of": number}, work)
    monkeypatch.undo()
    said: list[str] = []
    store = Store(tmp_path / "s", said.append)
    for number in (0, 1, 1, 2, 3):
        store.make("stage", {"of": number}, work)
    assert len(said) == 2 and "made with 5 threads are used" in said[0] and "torch 0.1" in said[1]
    assert store.differences.told() == [
        "2 results were made with 5 threads",
        "1 result was made with 6 threads",
        "3 results were made with torch 0.1",
    ]
    own = Store(tmp_path / "s")
    own.make("stage", {"of": 3}, work)
    assert own.differences.told() == []


@pytest.mark.parametrize("others", [{"threads": 5}, {"torch": "0.1"}, {"Python": "3.0.0"}])
def test_a_strict_store_finds_what_was_made_alike_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, Any]
) -> None:
    def cached() -> bool:
        return Store(tmp_path / "s", strict=True).make("stage", {}, work).cached

    assert not Store(tmp_path / "s").make("stage", {}, work).cached
    assert not cached() and cached()
    patched(monkeypatch, **others)
    assert not cached() and cached()
    monkeypatch.undo()
    assert cached()


def test_a_recipe_says_how_many_threads_and_the_command_line_overrides_it(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('method = "random-real"\nthreads = 3\nstrict = true\n')
    recipe, registry = Request.from_recipe(tmp_path / "r.toml"), load_registry()
    experiment = resolve(recipe, registry)
    assert (experiment.threads, experiment.strict) == (3, True)
    assert {"threads": 3, "strict": True}.items() <= tomllib.loads(experiment.to_toml()).items()
    assert resolve(recipe.updated(Request(threads=2)), registry).threads == 2
    assert recipe.updated(Request()).strict, "a flag that is not given says nothing"
    assert resolve(Request(method=["random-real"]), registry).threads == torch.get_num_threads()
    many = resolve(Request(method=["random-real"], threads=1000), registry)
    assert any("1000 threads share" in note for note in many.notes)
    for wrong in (0, -1, 10**9):
        with pytest.raises(InputError, match=f"--threads must be 1 to 1,024, not {wrong}"):
            resolve(recipe.updated(Request(threads=wrong)), registry)


def test_results_of_another_number_of_threads_are_in_the_runs_results(small_run: Path) -> None:
    again = [part for part in SMALL_RUN if part != "-q"]
    done = delt_host(*again[:-1], "two", "--threads", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("made with 1 thread are used") == 1 and "from the store" in done.stderr
    results = json.loads(Path("two/results.json").read_text())
    (told,) = results["environment"]["notes"]
    assert told.endswith("results were made with 1 thread") and results["environment"]["threads"] == 2
    assert tomllib.loads(Path("two/experiment.toml").read_text())["threads"] == 2
    done = delt_host("evaluate", "two", "--out", "scores", "-q")
    assert json.loads(Path("scores/results.json").read_text())["environment"]["threads"] == 2, "as the run"
    assert json.loads(Path("made/results.json").read_text())["environment"]["notes"] == []
