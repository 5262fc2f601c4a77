"""A store that several users share: two real users of one group, whatever their umasks. Root plays both."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import delt_host
from commands import Done, python
from conftest import SMALL_RUN

GROUP, ONE, TWO = 54321, 54322, 54323
AS_USER = """
import encodings.idna, encodings.unicode_escape, os, runpy, sys
uid, group, umask = (int(word) for word in sys.argv[1:4])
os.umask(umask)
os.setgroups([])
os.setgid(group)
os.setuid(uid)
"""
COMMAND = """
from delt_host.cli import main
sys.argv[1:] = sys.argv[4:]
main()
"""
TAKES_LONG = """
import time, torch
from pathlib import Path
from delt_host.store.store import Store
root, go = Path(sys.argv[4]), Path(sys.argv[5])
store = Store(root, lambda said: print(said, flush=True), checkpoint_every=0)
def work(checkpoint):
    found = checkpoint.load()
    print("goes on" if found else "begins", flush=True)
    checkpoint.save({"x": torch.ones(3)}, {})
    while not go.exists():
        time.sleep(0.02)
    return {"x": torch.arange(3)}, {}
print("made" if not store.resume("slow", {}, work).cached else "found", flush=True)
"""


@pytest.fixture(autouse=True)
def _for_all(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The test's folder, which other users may enter."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can be two users")
    home = Path(delt_host.__file__)
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in home.parents):
        pytest.skip(f"other users cannot read {home}")
    base = tmp_path_factory.getbasetemp()
    for folder in (tmp_path, *tmp_path.parents):
        if base in (folder, *folder.parents) or folder.name.startswith("pytest-"):
            folder.chmod(folder.stat().st_mode | 0o111)


def as_user(uid: int, umask: int, *arguments: object, code: str = COMMAND, cwd: Path | None = None) -> Done:
    return python("-c", AS_USER + code, uid, GROUP, umask, *arguments, cwd=cwd)


def shared(tmp_path: Path, mode: int = 0o2775, owner: int = 0) -> Path:
    store = tmp_path / "shared"
    store.mkdir()
    os.chown(store, owner, GROUP)
    store.chmod(mode)
    return store


def own_folder(tmp_path: Path, uid: int) -> Path:
    folder = tmp_path / f"of-{uid}"
    folder.mkdir()
    os.chown(folder, uid, GROUP)
    return folder


def entries(store: Path) -> dict[str, int]:
    return {str(file.relative_to(store)): file.stat().st_ino for file in store.glob("[!.]*/*")}


def test_what_one_user_has_made_the_other_reads_verifies_and_prunes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = shared(tmp_path)
    monkeypatch.setenv("DELT_HOST_STORE", str(store))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "nowhere"))
    small = [*SMALL_RUN, "--ipc", "1", "--seeds", "1"]
    done = as_user(ONE, 0o077, *small, cwd=own_folder(tmp_path, ONE))
    assert done.returncode == 0, done.stderr
    made = entries(store)
    assert made and all(path.stat().st_mode & 0o060 == 0o060 for path in store.rglob("*"))
    done = as_user(TWO, 0o022, *small, cwd=own_folder(tmp_path, TWO))
    assert done.returncode == 0, done.stderr
    assert entries(store) == made, "the second computes nothing"
    done = as_user(TWO, 0o022, "store", "verify", cwd=tmp_path)
    assert done.returncode == 0 and f"{len(made)} entries in {store} are whole" in done.stdout, done.stdout
    done = as_user(TWO, 0o022, "store", "prune", "--older-than", "0", "--yes", cwd=tmp_path)
    assert done.returncode == 0 and not entries(store), done.stderr


@pytest.mark.parametrize(("mode", "forbidden"), [(0o700, 0o077), (0o2770, 0o007), (0o3775, 0)])
def test_a_store_has_one_mode_throughout(tmp_path: Path, mode: int, forbidden: int) -> None:
    store, go = shared(tmp_path, mode, owner=ONE), tmp_path / "go"
    go.touch()
    done = as_user(ONE, 0o000, store, go, code=TAKES_LONG)
    assert done.stdout.split() == ["begins", "made"], done.stderr
    paths = list(store.rglob("*"))
    assert len(paths) > 3 and not [path for path in paths if path.stat().st_mode & forbidden]
    assert all(path.stat().st_mode & 0o7777 == mode for path in store.glob("slow"))
    second = as_user(TWO, 0o077, store, go, code=TAKES_LONG)
    if mode == 0o700:
        assert "cannot be written: Permission denied; choose another with --store PATH" in second.stderr
    else:
        assert second.stdout.split() == ["found"], second.stderr


@pytest.mark.parametrize("mode", [0o2775, 0o3775])
def test_a_lock_and_a_checkpoint_of_a_killed_process_are_taken_over_by_another_user(tmp_path: Path, mode: int) -> None:
    from commands import start

    store, go = shared(tmp_path, mode), tmp_path / "go"
    process = start("-c", AS_USER + TAKES_LONG, ONE, GROUP, 0o077, store, go)
    while not list(store.glob(".unfinished/slow-*")):
        assert process.poll() is None
    second = start("-c", AS_USER + TAKES_LONG, TWO, GROUP, 0o022, store, go)
    assert second.stdout is not None
    assert second.stdout.readline() == "another process is at this slow; waiting for it\n"
    process.kill()
    process.wait()
    line = second.stdout.readline()
    assert line == "goes on\n", second.stderr.read()
    go.touch()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors
    assert not list(store.glob(".locks/*"))
    left = list(store.glob(".unfinished/*"))
    assert not left if mode == 0o2775 else len(left) == 1, "in a sticky folder only its owner removes a file"


def test_what_cannot_be_read_is_named_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, go = shared(tmp_path), tmp_path / "go"
    go.touch()
    as_user(ONE, 0o077, store, go, code=TAKES_LONG)
    (entry,) = store.glob("slow/*")
    for closed in (entry, entry.parent):
        before = closed.stat().st_mode
        closed.chmod(0)
        verified = as_user(TWO, 0o022, "store", "verify", "--remove", "--store", store, cwd=tmp_path)
        assert verified.returncode == 1 and "1 cannot be read" in verified.stderr
        assert f"{closed} cannot be read: Permission denied; it is left as it is" in verified.stdout
        pruned = as_user(TWO, 0o022, "store", "prune", "--older-than", "1", "-y", "--store", store, cwd=tmp_path)
        assert pruned.returncode == 0 and "nothing to remove" in pruned.stdout
        used = as_user(TWO, 0o022, store, go, code=TAKES_LONG)
        assert used.returncode == 1
        assert f"RunError: {entry} cannot be read: Permission denied; it is left as it is" in used.stderr
        closed.chmod(before)
    assert as_user(TWO, 0o022, store, go, code=TAKES_LONG).stdout.split() == ["found"]


def test_what_may_not_be_removed_stays_and_is_said(tmp_path: Path) -> None:
    store, go = shared(tmp_path, 0o3775), tmp_path / "go"
    go.touch()
    as_user(ONE, 0o077, store, go, code=TAKES_LONG)
    pruned = as_user(TWO, 0o022, "store", "prune", "--stage", "slow", "-y", "--store", store, cwd=tmp_path)
    (entry,) = store.glob("slow/*")
    assert pruned.returncode == 1 and "1 could not be removed" in pruned.stderr
    assert f"{entry} stays: Operation not permitted" in pruned.stdout
    assert entry.is_file()
    assert as_user(TWO, 0o022, "store", "verify", "--store", store, cwd=tmp_path).returncode == 0


def test_a_store_that_is_another_users_alone_is_listed_and_not_written(tmp_path: Path) -> None:
    store, go = shared(tmp_path, 0o755, owner=ONE), tmp_path / "go"
    go.touch()
    as_user(ONE, 0o077, store, go, code=TAKES_LONG)
    assert "slow" in as_user(TWO, 0o022, "store", "--store", store, cwd=tmp_path).stdout
    assert as_user(TWO, 0o022, "store", "verify", "--store", store, cwd=tmp_path).returncode == 0
    run = as_user(TWO, 0o022, "run", "-m", "cda", "-q", "--store", store, cwd=own_folder(tmp_path, TWO))
    assert run.returncode == 2 and run.stderr.count("\n") == 1
    assert f"the store {store} cannot be written: Permission denied; choose another with --store" in run.stderr
