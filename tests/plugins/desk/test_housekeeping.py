"""What happens to a store from outside: files that cannot be read, clocks, links, others' folders, and prune during a run."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from commands import Process, python, start
from delt_host.basics.errors import InputError, RunError
from delt_host.cli import cli
from delt_host.store import sealed
from delt_host.store.entry import LOCKS, UNFINISHED, default_store, store_at
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store
from delt_plugins.desk import housekeeping

CANNOT = [
    OSError(errno.EIO, os.strerror(errno.EIO)),
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    MemoryError(),
]


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["store", *map(str, arguments)])
    return result.exit_code, result.output if not result.exception else f"{result.output}{result.exception}"


def made(store: Store, stage: str = "stage") -> Path:
    entry = store.make(stage, {}, lambda: ({"x": torch.arange(6)}, {"note": "ok"}))
    return store.place(stage, entry.key)


def aged(path: Path, days: float) -> None:
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - days * 86400,) * 2)


@pytest.mark.parametrize("error", CANNOT, ids=lambda error: type(error).__name__ + str(getattr(error, "errno", "")))
def test_what_cannot_be_read_now_is_neither_damaged_nor_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_path: Path) -> str:
        raise error

    store = Store(tmp_path / "store")
    place = made(store)
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "_checksum", fail)
        with pytest.raises(RunError, match=f"{place} cannot be read: .*; it is left as it is: .*, or use another"):
            store.make("stage", {}, lambda: pytest.fail("it is there"))
        code, said = call("verify", "--remove")
        assert code == 1 and "1 cannot be read" in said and "damaged" not in said
    assert place.is_file() and store.read("stage", {}) is not None


def test_a_process_that_has_too_many_files_open_removes_nothing(tmp_path: Path) -> None:
    place = made(Store(tmp_path / "store"))
    done = python(
        "-c",
        """
import os, resource, sys
from pathlib import Path
from delt_host.store.store import Store
store = Store(Path(sys.argv[1]), print)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, hard))
try:
    print(store.make("stage", {}, lambda: ({}, {})))
except Exception as error:
    print(type(error).__name__, error)
""",
        tmp_path / "store",
    )
    assert done.stdout.startswith(f"RunError {place} cannot be read: Too many open files; it is left"), done.stderr
    assert "ulimit -n" in done.stdout and place.is_file()


def test_a_checkpoint_that_cannot_be_read_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint"
    Checkpoint(path).save({"x": torch.ones(3)}, {"at": 3})
    content = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("delt_host.store.sealed._checksum", lambda _place: (_ for _ in ()).throw(CANNOT[0]))
        with pytest.raises(RunError, match=f"{path} cannot be read: .*; it is left as it is"):
            Checkpoint(path).load()
    found = Checkpoint(path).load()
    assert path.read_bytes() == content and found is not None and found[1] == {"at": 3}


def test_a_damaged_entry_that_another_process_has_replaced_is_not_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    place = made(store)
    (item,) = (item for item in housekeeping.items(store.root) if item.is_entry)
    assert housekeeping.remove(item, store.root, if_damaged=True) == "" and place.is_file()


@pytest.mark.parametrize(
    "facts",
    ["[" * 200_000, '{"checksum": ' + "9" * 10_000 + "}", "[]", "null", '{"a": 1}', "\\ud800", ""],
    ids=["deep", "long", "list", "null", "other", "text", "empty"],
)
def test_facts_of_another_form_are_damage(tmp_path: Path, facts: str) -> None:
    store = Store(tmp_path / "store")
    place = made(store)
    save_file({}, place, {sealed.FACTS: facts, sealed.CHECKSUM: sealed.BLANK})
    assert "1 damaged" in call("verify")[1] and call("--json")[0] == 0
    assert made(Store(tmp_path / "store")) == place and call("verify")[0] == 0


def test_facts_that_no_stage_would_write_are_not_read(tmp_path: Path) -> None:
    place = made(Store(tmp_path / "store"))
    os.truncate(place, 2**40)
    assert "1 damaged" in call("verify")[1] and call("--json")[0] == 0


def test_other_folders_and_what_links_lead_to_are_left_alone(tmp_path: Path) -> None:
    store, outside = Store(tmp_path / "store"), tmp_path / "outside"
    entry = made(store)
    for place in (store.root / "photos/2024", store.root / "photos/ab" / ("a" * 24), outside / ("b" * 24)):
        place.mkdir(parents=True)
        (place / "picture.jpg").write_text("mine")
    (store.root / "notes.txt").write_text("mine")
    (entry.parent / ".DS_Store").write_text("")
    (store.root / "recover").symlink_to(outside)
    (entry.parent / ("c" * 24)).symlink_to(outside)
    (store.root / ".unfinished").symlink_to(outside)
    kept = sorted(path for path in tmp_path.rglob("*") if path != entry)
    assert [row["path"] for row in json.loads(call("--json")[1])] == [str(entry)]
    assert call("verify", "--remove")[0] == 0
    assert call("prune", "--older-than", "0", "--yes")[0] == 0
    assert not entry.exists()
    assert kept == sorted(tmp_path.rglob("*"))


def test_everything_that_is_kept_is_listed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    made(store)
    Checkpoint(store.root / UNFINISHED / "recover-1").save({"x": torch.ones(3)}, {})
    for place in (f"{LOCKS}/recover-1", ".jobs/7_0_log.out", "catalogue.json", "index/.writing-1", ".writing-2"):
        (store.root / place).parent.mkdir(exist_ok=True)
        (store.root / place).write_text("x")
    rows = json.loads(call("--json")[1])
    assert sorted(row["stage"] for row in rows) == sorted(
        ["stage", "unfinished", "locks", "jobs", "catalogue", "left over", "left over"]
    )
    assert "2 entries" in call("verify")[1], "the checkpoint too"
    (store.root / UNFINISHED / "recover-1").write_bytes(b"x" * 99)
    assert "1 damaged" in call("verify")[1] and call("verify", "--remove")[0] == 0
    assert not list((store.root / UNFINISHED).iterdir())


def test_a_clock_that_went_back_keeps_nothing_from_being_removed(tmp_path: Path) -> None:
    place = made(Store(tmp_path / "store"))
    aged(place, -400)
    assert call("prune", "--older-than", "0.01", "-y")[1].startswith("nothing to remove")
    assert call("prune", "--stage", "stage", "-y")[0] == 0 and not place.exists()


@pytest.mark.parametrize("days", ["nan", "inf", "-1", "x"])
def test_a_number_of_days_that_is_none_is_refused(tmp_path: Path, days: str) -> None:
    place = made(Store(tmp_path / "store"))
    assert call("prune", "--older-than", days, "-y")[0] != 0 and place.exists()


RUNNING = """
import sys, time, torch
from pathlib import Path
from delt_host.store.store import Store
store, go = Store(Path(sys.argv[1]), lambda said: print(said, flush=True), checkpoint_every=0), Path(sys.argv[2])
first = store.make("first", {}, lambda: ({"x": torch.arange(100)}, {}))
def work(checkpoint):
    checkpoint.part("one of several").save({"x": torch.ones(3)}, {})
    while not go.exists():
        time.sleep(0.02)
    assert first.tensors["x"].sum() == 4950
    assert store.make("first", {}, lambda: ({"x": torch.arange(100)}, {})).tensors["x"].sum() == 4950
    return {"x": torch.arange(3)}, {}
store.resume("slow", {}, work)
print("finished", flush=True)
"""


def running(store: Path, go: Path) -> Process:
    process = start("-c", RUNNING, store, go)
    while not list(store.glob(".unfinished/slow-*")):
        assert process.poll() is None
    assert isinstance(process, Process)
    return process


def test_prune_during_a_run_leaves_what_the_run_is_at(tmp_path: Path) -> None:
    store, go = tmp_path / "store", tmp_path / "go"
    process = running(store, go)
    (store / ".writing-now").mkdir()
    code, said = call("prune", "--older-than", "0", "--yes")
    assert code == 0 and f"{next(store.glob('.unfinished/*'))} stays: a process is at it" in said
    assert not list(store.glob("first/*")), "it is read, and made again where it is wanted"
    assert list(store.glob(".locks/slow-*")) and (store / ".writing-now").exists()
    go.touch()
    said, errors = process.communicate(timeout=60)
    assert said == "finished\n", errors
    assert not list(store.glob(".locks/*")) and not list(store.glob(".unfinished/*"))
    assert len(list(store.glob("[!.]*/*"))) == 2


def test_prune_takes_the_locks_of_the_dead_and_their_old_checkpoints(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = running(store, tmp_path / "go")
    process.send_signal(signal.SIGKILL)
    process.wait()
    (checkpoint,) = store.glob(".unfinished/*")
    assert call("prune", "--yes")[0] == 0
    assert not list(store.glob(".locks/*")) and checkpoint.exists(), "it may be hours of work"
    aged(checkpoint, 9)
    assert call("prune", "--older-than", "8", "--yes")[0] == 0 and not checkpoint.exists()


def test_a_run_whose_entries_are_removed_all_the_time_finds_or_makes_them(tmp_path: Path) -> None:
    process = start(
        "-c",
        """
import sys, torch
from pathlib import Path
from delt_host.store.store import Store
said = []
store = Store(Path(sys.argv[1]), said.append)
for i in range(400):
    entry = store.make("stage", {"of": i % 3}, lambda: ({"x": torch.full((5,), i % 3)}, {"of": i % 3}))
    assert entry.tensors["x"].tolist() == [entry.facts["of"]] * 5 == [i % 3] * 5
print(said, len(store.made) > 3)
""",
        tmp_path / "store",
    )
    while process.poll() is None:
        for item in housekeeping.items(tmp_path / "store"):
            if not item.stage.startswith("left"):
                housekeeping.remove(item, tmp_path / "store")
    said, errors = process.communicate()
    assert "damaged" not in said and said.endswith("True\n"), errors


def test_of_two_machines_that_make_the_same_the_first_stays(tmp_path: Path) -> None:
    """Where locks do not hold from one machine to the other."""
    one, two = Store(tmp_path / "store"), Store(tmp_path / "store")
    place = tmp_path / "store" / "stage" / one.key("stage", {})

    def work() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        (tmp_path / "store" / LOCKS).rename(tmp_path / "store" / "unseen")
        two.make("stage", {}, lambda: ({"x": torch.tensor([2])}, {}))
        return {"x": torch.tensor([1])}, {}

    assert one.make("stage", {}, work).tensors["x"].tolist() == [2], "what any later run reads"
    assert place.is_file() and one.made == [] and len(two.made) == 1


def test_writing_checkpoints_takes_a_fiftieth_of_the_time_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("delt_host.store.resume.time.monotonic", lambda: clock[0])

    def slow(*_arguments: object) -> None:
        clock[0] += 3.0

    monkeypatch.setattr("delt_host.store.sealed.write", slow)
    checkpoint = Checkpoint(tmp_path / "checkpoint", every=30)
    written = 0
    for _ in range(10_000):
        clock[0] += 1.0
        if checkpoint.due:
            checkpoint.save({}, {})
            written += 1
    assert 3.0 * written <= 0.021 * clock[0] and written > 50


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DELT_HOST_STORE": "~nosuchuser/x"}, "'~nosuchuser/x' of DELT_HOST_STORE cannot be found: there is no such home"),
        ({"DELT_HOST_STORE": "a\nb"}, "of DELT_HOST_STORE has a character that no path should have"),
        ({"DELT_HOST_STORE": "a\udcffb"}, "of DELT_HOST_STORE has a character that no path should have"),
        ({"XDG_CACHE_HOME": "cache"}, "XDG_CACHE_HOME is 'cache', which is no absolute path"),
        ({"HOME": "home"}, "HOME is 'home', which is no absolute path"),
        ({"HOME": ""}, "HOME is '', which is no absolute path"),
    ],
)  # fmt: skip
def test_a_store_that_is_nowhere_ends_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], said: str
) -> None:
    for name in ("DELT_HOST_STORE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for command in (["store"], ["run", "-m", "cda", "--dry-run", "-q"], ["doctor"]):
        error = CliRunner().invoke(cli, command).exception
        assert isinstance(error, InputError | RunError) and said in str(error) and "\n" not in str(error), command


@pytest.mark.parametrize("place", ["~nosuchuser/x", "a\nb", "file", "file/below"])
def test_a_place_that_can_be_no_store_ends_in_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    for command in (["store", "--store", place], ["run", "-m", "cda", "--dry-run", "-q", "--store", place]):
        error = CliRunner().invoke(cli, command).exception
        assert isinstance(error, InputError) and "store" in str(error) and "\n" not in str(error), command


def test_a_store_is_at_one_place_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DELT_HOST_STORE", "here")
    with pytest.raises(InputError, match="a character that no path should have"):
        store_at("a\0b")
    assert default_store() == store_at("here") == tmp_path / "here"
    store = Store(Path("here"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert made(store).is_relative_to(tmp_path / "here") and made(store).is_file()
