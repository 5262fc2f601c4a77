"""Nothing is lost: stages go on after a kill to the same bits, and two processes share a store."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

import commands
from commands import MAIN, Process, python
from conftest import FP32, TESTS
from delt_host.basics.errors import RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_stack
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store
from delt_host.training.teachers import squeeze
from delt_plugins.delt.early_late import EarlyLate
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.squeezers.ordinary import Ordinary
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.sre2l.noise import Noise
from delt_plugins.sre2l.schedule import Constant

pytestmark = pytest.mark.long


class Killed(BaseException):
    """What a kill is to the code it hits: nothing of it runs on."""


def killed_after(advances: int):  # type: ignore[no-untyped-def]
    count = 0

    def progress(_done: int, _terms: object) -> None:
        nonlocal count
        count += 1
        if count > advances:
            raise Killed

    return progress


def silent(_done: int, _terms: object) -> None:
    return None


def noise(problem: Problem) -> Latents:
    return Latents.of(problem, Noise().initialize(problem, range(problem.num_classes)))


@pytest.mark.parametrize(
    ("scheduler", "matcher"),
    [
        (Constant(iterations=12, order="class"), BatchNormMatching()),
        (EarlyLate(iterations=16, round_iterations=4, moments="fresh", views="image"), BatchNormMatching()),
        (Constant(iterations=12, order="class"), GeneralStatistics(decay=0.8)),
    ],
    ids=["constant", "early-late", "moving averages"],
)
def test_recovery_goes_on_to_the_same_pixels(
    problem: Problem, tmp_path: Path, scheduler: Constant | EarlyLate, matcher: BatchNormMatching | GeneralStatistics
) -> None:
    start, plan = noise(problem), scheduler.plan(problem)
    (whole,) = recover_stack(problem, start, plan, (0,), matcher, silent)
    path = tmp_path / "checkpoint"
    for advances in (1, 4, 3):  # killed three times, each time further on
        with pytest.raises(Killed):
            recover_stack(problem, start, plan, (0,), matcher, killed_after(advances), Checkpoint(path, every=0))
    seen: list[int] = []
    (again,) = recover_stack(
        problem, start, plan, (0,), matcher, lambda done, _: seen.append(done), Checkpoint(path, every=0)
    )
    assert torch.equal(whole.latents.images["images"], again.latents.images["images"]) and whole.curves == again.curves
    assert sum(seen) == plan.groups[0].image_iterations and seen[0] > 0, "what was done before counts as done"


def dropping(classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(8 * size**2, classes),
    )


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_squeezing_goes_on_to_the_same_weights(
    digits: RealData, tmp_path: Path, schedule: Literal["one-cycle", "cosine"]
) -> None:
    """In the middle of an epoch and at its end, with dropout and random crops."""
    recipe = Ordinary(model="dropping", epochs=3, batch_size=64, learning_rate=0.05, schedule=schedule)
    models = {"dropping": dropping}
    whole = squeeze(digits, recipe, FP32, models, silent)
    path = tmp_path / "checkpoint"
    for advances in (1, 3, 2, 2):  # an epoch of 22 steps advances three times
        with pytest.raises(Killed):
            squeeze(digits, recipe, FP32, models, killed_after(advances), Checkpoint(path, every=0))
    again = squeeze(digits, recipe, FP32, models, silent, Checkpoint(path, every=0))
    assert all(torch.equal(whole.state[name], again.state[name]) for name in whole.state)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "text"])
def test_a_damaged_checkpoint_counts_as_none(problem: Problem, tmp_path: Path, harm: str) -> None:
    start, plan, matcher = noise(problem), Constant(iterations=6).plan(problem), BatchNormMatching()
    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        recover_stack(problem, start, plan, (0,), matcher, killed_after(3), Checkpoint(path, every=0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:99]), "empty": b"", "text": b"no " * 99}[harm])
    said: list[str] = []
    (again,) = recover_stack(problem, start, plan, (0,), matcher, silent, Checkpoint(path, 0, said.append))
    (whole,) = recover_stack(problem, start, plan, (0,), matcher, silent)
    assert torch.equal(again.latents.images["images"], whole.latents.images["images"])
    assert len(said) == 1 and "its stage starts anew" in said[0]


def test_a_checkpoint_that_cannot_be_written_costs_a_warning(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said: list[str] = []
    checkpoint = Checkpoint(tmp_path / "file" / "checkpoint", 0, said.append)
    start, plan = noise(problem), Constant(iterations=3).plan(problem)
    recover_stack(problem, start, plan, (0,), BatchNormMatching(), silent, checkpoint)
    assert said and all("no checkpoint could be written" in line for line in said)


def test_the_seconds_before_a_kill_are_counted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", checkpoint_every=0)

    def cut_short(checkpoint: Checkpoint) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        time.sleep(0.3)
        checkpoint.save({"x": torch.ones(1)}, {})
        raise Killed

    with pytest.raises(Killed):
        store.resume("stage", {"a": 1}, cut_short)

    def finish(checkpoint: Checkpoint) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        found = checkpoint.load()
        assert found is not None
        return found[0], {}

    assert store.resume("stage", {"a": 1}, finish).facts["seconds"] >= 0.3
    assert not any((tmp_path / "store" / ".unfinished").iterdir()), "a finished stage leaves no checkpoint"


def test_of_two_that_want_the_same_one_works_and_one_waits(tmp_path: Path) -> None:
    said: list[str] = []
    stores = [Store(tmp_path / "store", said.append) for _ in range(2)]
    worked: list[int] = []

    def work() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        worked.append(1)
        time.sleep(0.5)
        return {"x": torch.arange(3)}, {}

    results = []
    threads = [threading.Thread(target=lambda s=s: results.append(s.make("stage", {}, work))) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worked == [1] and all(torch.equal(entry.tensors["x"], torch.arange(3)) for entry in results)
    assert said == ["another process is at this stage; waiting for it"]


def test_a_full_disk_names_the_place_and_keeps_what_was_finished(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; both fail in write()."""
    code = """
import resource, sys, torch
from pathlib import Path
from delt_host.basics.errors import RunError
from delt_host.store.store import Store
store = Store(Path(sys.argv[1]))
store.make("small", {}, lambda: ({"x": torch.ones(4)}, {}))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    store.make("large", {}, lambda: ({"x": torch.ones(100_000)}, {}))
except RunError as error:
    print(error)
"""
    done = python("-c", code, tmp_path / "store")
    assert "stage large finished but could not be stored in" in done.stdout, done.stderr
    store = Store(tmp_path / "store")
    assert store.holds("small", store.key("small", {})) and not store.holds("large", store.key("large", {}))
    assert not list((tmp_path / "store").glob(".writing-*")), "the unfinished file is gone"


RUN = [
    "run", "-m", "delt", "-b", "cda", "--no-controls", "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8",
    "--set", "teacher.epochs=3", "--set", "scheduler.iterations=96", "--set", "scheduler.group_size=10", "--set",
    "protocol.epochs=6", "--precision", "fp32", "--checkpoint-every", "0.05", "--out", "made",
]  # fmt: skip


def start(root: Path, store: Path | None = None) -> Process | subprocess.Popen[str]:
    return commands.start(*MAIN, *RUN, cwd=root, env={**os.environ, "DELT_HOST_STORE": str(store or root / "store")})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[object], float]:
    """The sets and scores of a run that nobody killed, and its seconds."""
    folder = tmp_path_factory.mktemp("whole")
    python("-c", "")  # the first command waits for what serves them
    began = time.monotonic()
    assert start(folder).wait(timeout=300) == 0
    seconds, found, scores = time.monotonic() - began, sets_of(folder), scores_of(folder)
    assert len(found) == 2 and scores
    return found, scores, seconds


def sets_of(root: Path) -> dict[str, str]:
    files = sorted((root / "made").rglob("distilled.safetensors"))
    found = {}
    for file in files:
        images = file.read_bytes()
        size = int.from_bytes(images[:8], "little")
        found[str(file.relative_to(root))] = hashlib.sha256(
            images[8 + size :]
        ).hexdigest()  # without the machine's seconds
    return found


def scores_of(root: Path) -> list[object]:
    """Every score, and by whom it is of what; not what was measured of the machine beside them."""
    scores = json.loads((root / "made" / "results.json").read_text(encoding="utf-8"))["scores"]
    return [[each[name] for name in ("row", "regime", "evaluator", "set", "student", "scores")] for each in scores]


def moments() -> Iterator[tuple[str, int]]:
    """Every kind of step that a run takes towards its end, as a place in the store and the number of an operation on it: a
    stage begins, writes a checkpoint, and others over it, writes its result, and has written it."""
    checkpoints = {"squeeze": (1, 2, 3, 5, 9), "prepare": (1, 3), "recover": (1, 2, 3, 5, 9), "evaluate": (1, 3, 9)}
    for stage in ("squeeze", "prepare", "initialize", "recover", "finish", "relabel", "evaluate"):
        yield f".locks/{stage}-", 1
        yield from ((".unfinished/", nth) for nth in checkpoints.get(stage, ()))
        yield f"{stage}/.writing-", 2
        yield f".locks/{stage}-", 2


def test_killed_at_each_kind_of_step_a_run_makes_the_same_images_and_scores(
    whole: tuple[dict[str, str], list[object], float], tmp_path: Path
) -> None:
    """By SIGKILL in a real process, one after the other on one store."""
    environment = {**os.environ, "DELT_HOST_STORE": str(tmp_path / "store")}
    command = [*RUN, "--checkpoint-every", "0"]  # whenever there can be one, however fast the machine is
    for place, nth in moments():
        under = tmp_path / "store" / place
        done = python(TESTS / "watched.py", under, nth, "kill", *command, cwd=tmp_path, env=environment)
        assert done.returncode == -signal.SIGKILL, f"never {nth} operations on {place}: {done.stderr}"
    assert start(tmp_path).wait(timeout=300) == 0
    assert (sets_of(tmp_path), scores_of(tmp_path)) == whole[:2]


def test_killed_at_random_moments_a_run_makes_the_same_images_and_scores(
    whole: tuple[dict[str, str], list[object], float], tmp_path: Path
) -> None:
    chance, kills = random.Random(0), 0
    while True:
        process = start(tmp_path)
        try:
            _, said = process.communicate(timeout=chance.uniform(0.1, 0.3) * whole[2] if kills < 4 else 300)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    assert process.returncode == 0, said
    assert kills and (sets_of(tmp_path), scores_of(tmp_path)) == whole[:2]


def test_two_processes_on_one_store_do_the_work_once(tmp_path: Path) -> None:
    processes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        processes.append(start(tmp_path / name, tmp_path / "store"))
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sets_of(tmp_path / "one") == sets_of(tmp_path / "two")
    lines = [line for text in said for line in text.splitlines()]
    squeezed = [line for line in lines if line.startswith("squeeze") and "from the store" not in line]
    assert len(squeezed) <= 2 and any(
        "another process is at this" in line or "from the store" in line for line in lines
    )


def test_a_store_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "store" / ".locks").write_text("a file in the way of the folder")
    with pytest.raises(RunError, match="cannot be locked"):
        store.make("stage", {}, lambda: ({}, {}))
