"""``--workers N``: the same bits as without, whatever becomes of a worker, and no process that outlives the run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from pathlib import Path
from subprocess import Popen

import pytest
import torch

import delt_host
from commands import MAIN, Process, start
from commands import delt_host as command
from conftest import SQUEEZED
from delt_host import Observer
from delt_host.api.asked import AskedRun
from delt_host.api.evaluate import AskedEvaluation
from delt_host.basics.errors import InputError
from delt_host.contracts.results import read_results
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.spread import workers
from delt_host.spread.task import tasks
from delt_host.spread.workers import Workers, crowded
from delt_host.stages.host import Host
from delt_host.stages.story import prepare_run
from delt_host.store import sealed
from delt_host.store.entry import digest
from delt_host.store.store import Store
from ones_own import write_own

pytestmark = [pytest.mark.long, pytest.mark.skipif(os.name != "posix", reason="looks at processes as POSIX has them")]

SHORT = ["--no-controls", "--ipc", "1", "--seeds", "1", "--threads", "1", *SQUEEZED, "--set", "protocol.epochs=2"]
ENDLESS = [
    "run",
    "-m",
    "delt,scheduler.iterations=800000",
    "-b",
    "cda,scheduler.iterations=800000",
    *SHORT,
    "--out",
    "made",
]
DEADLY = """
import os, signal
from delt_host import Matcher

class Deadly(Matcher):
    def bind(self, problem):
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Told(Observer):
    """What was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def entries(store: Path) -> dict[str, str]:
    """The checksum of every finished entry's tensors."""
    found = {}
    for place in sorted(store.glob("[!.]*/*")):
        tensors = sealed.read(place)[0]
        found[f"{place.parent.name}/{place.name}"] = digest({name: each.tolist() for name, each in tensors.items()})
    return found


def scores(run: Path) -> list[tuple[object, ...]]:
    return [(s.row, s.regime, s.set, s.student, s.scores, bool(s.failure)) for s in read_results(run).scores]


def made_at(store: Path) -> dict[str, int]:
    """What the file system calls each entry: one that is made again has another number, and one that is used has not."""
    return {str(path): path.stat().st_ino for path in store.glob("[!.]*/*")}


@pytest.mark.usefixtures("with_teacher")
def test_the_same_bits_as_without(tmp_path: Path) -> None:
    """A matcher and a student of the user's own files, a row that fails, a part that is kept, and the sets scored anew."""
    write_own(tmp_path)
    asked = [
        *("run", "-m", "delt", "-b", "cda,matcher=./own/mine.py:Mine", "-b", "cda,matcher.weight=1e39"),
        *("--student", "./own/mine.py:net", *SHORT, "--set", "scheduler.iterations=8"),
    ]
    shutil.copytree(tmp_path / "store", tmp_path / "other")
    alone = command(*asked, "--out", "alone", "--store", tmp_path / "other", cwd=tmp_path)
    shared = command(*asked, "--out", "shared", "--workers", "2", cwd=tmp_path)
    assert alone.returncode == shared.returncode == 1 and "Traceback" not in shared.stderr, shared.stderr
    assert "spread" in shared.stderr and "by 2 workers" in shared.stderr and " of 1" in shared.stderr, shared.stderr
    assert entries(tmp_path / "store") == entries(tmp_path / "other")
    assert scores(tmp_path / "shared") == scores(tmp_path / "alone") and scores(tmp_path / "alone")
    assert [s.failure for s in read_results(tmp_path / "shared").scores if s.failure] == [
        s.failure for s in read_results(tmp_path / "alone").scores if s.failure
    ]
    assert "became" in shared.stderr, "the failed row says which term"

    before = made_at(tmp_path / "store")
    more = command(*asked, "--students", "2", "--out", "shared", "--force", "--workers", "2", cwd=tmp_path)
    assert "by 2 workers" in more.stderr, more.stderr
    after = made_at(tmp_path / "store")
    assert {after[path] for path in before} <= set(before.values()), "what is kept is not made again"
    new = {Path(path).parent.name for path in after.keys() - before.keys()}
    assert new == {"labels", "relabel", "evaluate"}, "students alone"

    asked = ["evaluate", "shared", "--student", "convnet3", "--students", "2", "--regime", "hard", "--threads", "1"]
    again = command(*asked, "--workers", "2", "--out", "anew", cwd=tmp_path)
    plain = command(*asked, "--store", tmp_path / "other", "--out", "anew-alone", cwd=tmp_path)
    assert "by 2 workers" in again.stderr, again.stderr
    assert scores(tmp_path / "anew") == scores(tmp_path / "anew-alone") and again.returncode == plain.returncode
    assert (
        entries(tmp_path / "store").items()
        >= {name: each for name, each in entries(tmp_path / "other").items() if name.startswith("evaluate/")}.items()
    )


@pytest.mark.usefixtures("with_teacher")
def test_a_piece_that_kills_its_workers_costs_its_row(tmp_path: Path) -> None:
    """And one that is killed once is done again."""
    (tmp_path / "deadly.py").write_text(DEADLY)
    asked = [
        "run",
        "-m",
        "cda,matcher=./deadly.py:Deadly",
        "-b",
        "random-real",
        *SHORT,
        "--out",
        "made",
        "--workers",
        "2",
    ]
    done = command(*asked, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert re.search(
        r"recover cda.*: its worker was killed by signal 9; it is done again, by the one that is left", done.stderr
    )
    failures = {score.row: score.failure for score in read_results(tmp_path / "made").scores}
    assert "2 workers died at it, the last one killed by signal 9; is memory short?" in failures.pop(
        "cda (matcher=deadly.py:Deadly)"
    )
    assert set(failures.values()) == {""}, "the other row is complete"


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def at_work(process: Process | Popen[str], folder: Path) -> list[int]:
    """Its workers, once both are in the middle of a piece."""
    end = time.monotonic() + 120
    while len(list((folder / "store/.unfinished").glob("recover-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "they never came so far"
        time.sleep(0.1)
    found = children(process.pid)
    assert len(found) == 2
    return found


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes in /proc")
@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_run(tmp_path: Path, number: signal.Signals) -> None:
    process = start(*MAIN, *ENDLESS, "--workers", "2", "--checkpoint-every", "0.1", cwd=tmp_path)
    there = at_work(process, tmp_path)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    end = time.monotonic() + 10
    while any(map(alive, there)):
        assert time.monotonic() < end, f"{there} are left after {number.name}"
        time.sleep(0.05)
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and "the same command goes on from there" in errors, errors


def test_what_workers_cannot_do_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = [
        ({"workers": 0}, "--workers must be 1 to 1,024, not 0"),
        ({"workers": 2, "engine": "slurm"}, "--engine slurm has its own"),
        ({"workers": 2, "student": lambda classes, size: torch.nn.Linear(1, classes)}, "workers are sent descriptions"),
    ]
    for options, said in refused:
        with pytest.raises(InputError, match=said):
            delt_host.run(method="random-real", quiet=True, **options)
    with pytest.raises(InputError, match="side by side on cuda were never measured: leave --workers out"):
        Workers(count=2).check("cuda")
    Workers(count=2).check("cpu")


def test_a_refusal_is_no_death(tmp_path: Path) -> None:
    told = Told()
    asked = {"control": [], "ipc": 1, "seeds": 1, "regime": ["hard"], "teacher": ["none"], "method": ["random-real"]}
    registry = load_registry()
    experiment = resolve(Request(**asked, set={"dataset.image_size": 8}), registry)
    comparison = prepare_run(experiment, Host(registry, Store(tmp_path), told))
    spread = workers._Spread(comparison, tasks(comparison, here=True), threads=1, count=2)
    spread.crew.begin["description"]["recipe"]["bogus"] = 1
    told.notes.clear()
    spread.run()
    assert told.notes and not spread.crew.members
    assert all(note.startswith("workers cannot begin") and "bogus" in note for note in told.notes), told.notes


@pytest.mark.parametrize(
    ("there", "said", "strict", "recipe", "each"),
    [(4, None, False, 4, 2), (1, None, False, 1, 1), (4, 4, False, 4, 4), (4, None, True, 4, 4)],
)
def test_workers_share_the_threads_of_a_recipe(
    there: int, said: int | None, strict: bool, recipe: int, each: int
) -> None:
    request, registry = Request(method=["random-real"], threads=there, strict=strict), load_registry()
    run = AskedRun.of(request, registry, workers=2, threads=said)
    scored = AskedEvaluation.of(Path("made"), request, registry, workers=2, threads=said)
    for asked in (run, scored):
        assert (asked.experiment.threads, asked.threads) == (recipe, each)
    begun = AskedRun.of(Request(method=["random-real"]), registry, workers=2)
    assert begun.experiment.threads == torch.get_num_threads(), "for calls without workers"
    assert begun.threads == max(torch.get_num_threads() // 2, 1)


def test_threads_that_have_no_processor_are_told_of() -> None:
    assert crowded(2, 1, 2) == crowded(2, 4, 8) == ""
    assert crowded(2, 2, 2) == (
        "2 workers of 2 threads each share 2 processors, which is slow; --threads 1 takes fewer, for other last bits"
    )
    assert crowded(4, 1, 2) == "4 workers of 1 thread each share 2 processors, which is slow"
