"""The same bytes from this process, from two nodes of Ray of which one is killed, and from jobs of submitit.

All of them with a stage that was added in one file (throwaway.py), which engines spread like any other, and with a matcher
and a student in a file of the user's, which engines take along.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess, Popen

import numpy as np
import pytest
import torch

from commands import MAIN, Process, cold, delt_host, start
from conftest import SQUEEZED, TESTS, Install
from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.engines import engine_for
from delt_host.plugins.registry import load_registry
from delt_host.store import sealed
from delt_host.store.code_identity import GROUP
from delt_host.store.entry import digest
from delt_host.store.store import Store
from delt_host.workshop import Description, Task
from delt_plugins.engines.parcel import pack_data, pack_teachers, unpack_data, unpack_teachers
from ones_own import write_own

pytestmark = pytest.mark.long

# DELT's images in groups of four, and a row whose loss is not finite: small, yet with every kind of piece.
RUN = shlex.split(
    "--method delt --baseline cda,matcher.weight=1e39 --baseline cda,matcher=./own/mine.py:Mine,scheduler.iterations=4 "
    "--student ./own/mine.py:net --no-controls --ipc 2 --seeds 1 --threads 1 --stack 1 --set dataset.image_size=16 "
    "--set teacher.epochs=1 --set scheduler.iterations=64 --set scheduler.group_size=4 --set protocol.epochs=3"
)


def begun(folder: Path, store: Path, *more: object) -> Process | Popen[str]:
    """The run, begun where the user's files lie."""
    return start(*MAIN, "run", *RUN, "--store", store, "--out", f"{store}-run", *more, cwd=folder)


def run(folder: Path, store: Path, *more: object) -> CompletedProcess[str]:
    process = begun(folder, store, *more)
    try:
        out, errors = process.communicate(timeout=400)
    finally:
        process.kill()
    return CompletedProcess([], process.returncode, out, errors)


def made(store: Path) -> dict[str, str]:
    """The checksum of every finished entry's tensors, but for those that only say how long something took."""
    found = {}
    for place in sorted(store.glob("[!.]*/*")):
        tensors = sealed.read(place)[0]
        found[f"{place.parent.name}/{place.name}"] = digest({name: x.tolist() for name, x in tensors.items()})
    return found


def scores(store: Path) -> list[dict[str, float]]:
    return [sealed.facts(place)["facts"]["scores"] for place in sorted(store.glob("evaluate/*"))]


@pytest.fixture(scope="module", autouse=True)
def _throwaway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For every process that is started from here, workers included."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copy(TESTS / "throwaway.py", folder)
    info = folder / "throwaway-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nthrowaway = throwaway\n")
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("local") / "store"
    write_own(store.parent)
    done = run(store.parent, store)
    assert done.returncode == 1 and "cda" in done.stderr and "became" in done.stderr, done.stderr
    return store


def check_same(store: Path, local: Path, done: CompletedProcess[str]) -> None:
    assert done.returncode == 1, "one row of the three has failed"
    assert "Traceback" not in done.stderr, done.stderr
    assert made(store) == made(local)
    assert scores(store) == scores(local) and scores(local), done.stderr
    assert "batch-norm" in done.stderr and "became" in done.stderr, "the failed row says which term"
    assert "recover cda (matcher=mine.py:Mine, scheduler.iterations=4), seed 0: from the store" in done.stderr
    assert "mine.py:net: from the store" in done.stderr


def test_ray_with_a_node_killed_in_the_middle(local: Path, tmp_path: Path) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs delt-host[ray]")
    # A dead node is noticed within two seconds: by default it takes as long as all of this work.
    noticed = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": noticed}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1)
    process, store = None, tmp_path / "store"
    try:
        cluster_of = ["--engine", "ray", "--address", cluster.address]
        process = begun(local.parent, store, *cluster_of)
        wait_for(lambda: any(store.glob("recover/*")), process)
        cluster.remove_node(second, allow_graceful=False)
        out, errors = process.communicate(timeout=400)
    finally:
        if process is not None:
            process.kill()
        cluster.shutdown()
    check_same(store, local, CompletedProcess([], process.returncode, out, errors))
    assert "on 2 nodes of Ray" in errors, errors
    assert "1 of 2 nodes are gone" in errors, errors


def wait_for(seen, process: Popen[str] | Process, seconds: float = 300) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it never came so far"
        time.sleep(0.05)


def test_submitit_on_this_machine(local: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="needs delt-host[slurm]")
    store, engine = tmp_path / "store", ["--engine", "slurm,executor=local,per_job=10"]
    done = run(local.parent, store, *engine)
    check_same(store, local, done)
    assert any((store / ".jobs").iterdir()), "the jobs were really submitted"
    again = run(local.parent, store, *engine)
    assert "sharpness delt, seed 0: from the store" in done.stderr, "a job has done it"
    assert "pieces" in again.stderr and "recover delt, seed 0: from the store" in again.stderr


def test_a_preempted_job_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit", reason="needs delt-host[slurm]")
    from delt_plugins.engines.slurm import Job

    whole, halves = tmp_path / "whole", tmp_path / "halves"
    description, task = one_group(whole, iterations=160)
    one_group(halves, iterations=160)
    assert Job(description, str(whole), 30.0)([task.to_json()]) == {}

    executor = submitit.AutoExecutor(tmp_path / "jobs", cluster="local")
    executor.update_parameters(timeout_min=60)
    job = executor.submit(Job(description, str(halves), 0.1), [task.to_json()])
    end = time.monotonic() + 200
    while not list((halves / ".unfinished").glob("recover-*")):
        assert time.monotonic() < end and not job.done(), job.stderr()
        time.sleep(0.02)
    children = Path(f"/proc/{job.job_id}/task/{job.job_id}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGUSR2)  # what Slurm sends before it takes the node
    assert job.result() == {}
    log = job.stderr() + job.stdout()
    assert "this job is preempted" in log and "Requeued" in log and log.count("Starting with") == 2
    assert made(halves)[f"recover/{task.entry[1]}"] == made(whole)[f"recover/{task.entry[1]}"]


def one_group(root: Path, iterations: int, strict: bool = False) -> tuple[str, Task]:
    """The description of a run whose teacher and start lie in the store, and one group of it."""
    from delt_host.contracts.observer import Observer
    from delt_host.experiment.request import Request
    from delt_host.experiment.resolve import resolve
    from delt_host.plugins.registry import load_registry
    from delt_host.stages.host import Host
    from delt_host.stages.story import prepare_run
    from delt_host.workshop import tasks

    registry = load_registry()
    options = {"dataset.image_size": 16, "teacher.epochs": 1, "scheduler.iterations": iterations}
    experiment = resolve(Request(method=["sre2l"], control=[], ipc=2, seeds=1, set=options, strict=strict), registry)
    host = Host(registry, Store(root, strict=strict), Observer())
    comparison = prepare_run(experiment, host)
    description, found = Description.of(comparison, torch.get_num_threads()), tasks(comparison)
    assert [task.stage for task in found] == ["recover", "finish", *["relabel"] * 2, *["evaluate"] * 2], "two regimes"
    return description.to_json(), found[0]


def test_a_worker_with_another_plugin_refuses(tmp_path: Path) -> None:
    description, task = one_group(tmp_path, iterations=2)
    other = Task(**{**task.__dict__, "entry": ("recover", "0" * 24)})
    from delt_plugins.engines.slurm import Job

    (failure,) = Job(description, str(tmp_path), 30.0)([other.to_json()]).values()
    assert "same versions" in failure


def test_a_worker_is_as_strict_as_the_run(tmp_path: Path) -> None:
    description, task = one_group(tmp_path, iterations=2, strict=True)
    from delt_plugins.engines.slurm import Job

    assert Job(description, str(tmp_path), 30.0)([task.to_json()]) == {}
    assert Store(tmp_path).holds(*task.entry)


def test_tasks_and_descriptions_travel_as_json() -> None:
    task = Task("recover", "delt", 3, 2, ("recover", "ab"), (("start", "cd"), ("start", "ef")))
    assert Task.from_json(task.to_json()) == task
    description = Description({"ipc": 2, "plugins": ["no:dm"]}, 4)
    assert json.loads(description.to_json())["recipe"]["plugins"] == ["no:dm"]
    assert Description.from_json(description.to_json()) == description


def test_a_sent_dataset_is_the_same(digits: RealData, teacher: Teacher, tmp_path: Path) -> None:
    parcel = pack_data(digits)
    parcel["train"][0].setflags(write=False)  # as Ray shares arrays
    sent = unpack_data(parcel)
    assert sent is not None and sent.fingerprint == digits.fingerprint and sent.class_names == digits.class_names
    some = torch.arange(5)
    assert torch.equal(sent.train.read(some), digits.train.read(some))
    assert torch.equal(sent.test.targets, digits.test.targets)
    ((name, path),) = unpack_teachers(pack_teachers([replace(teacher, name="mine")]), tmp_path).items()
    assert name == "mine"
    assert Teacher.load(path).fingerprint == teacher.fingerprint


def test_originals_do_not_travel(digits: RealData) -> None:
    class WithFiles(MemorySplit):
        pass

    train = WithFiles(torch.from_numpy(np.zeros((2, 3, 8, 8), np.uint8)), torch.tensor([0, 1]))
    sent = unpack_data(pack_data(replace(digits, train=train)))
    assert sent is not None
    with pytest.raises(RunError, match="original size"):
        sent.train.original(0)


def test_a_damaged_parcel_is_refused(tmp_path: Path) -> None:
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    entry = here.make("start", {"a": 1}, lambda: ({"images": torch.arange(6.0)}, {}))
    content = here.export("start", entry.key)
    with pytest.raises(RunError, match="checksum"):
        there.admit("start", entry.key, content[:-1] + (b"\x00" if content[-1] else b"\x01"))
    assert not there.holds("start", entry.key)
    there.admit("start", entry.key, content)
    found = there.read("start", {"a": 1})
    assert found is not None and torch.equal(found.tensors["images"], entry.tensors["images"])


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("rey", "did you mean 'ray'"),
        ("lokal", "did you mean 'local'"),
        ("ray,adress=x", "did you mean 'address'"),
        ("slurm,minutes=soon", "engine slurm.minutes"),
        ("slurm,executor=pbs", "'slurm' or 'local'"),
        ("local,threads=2", "engine local has no option"),
    ],
)
def test_a_wrong_engine_is_one_sentence(spec: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        engine_for(spec, load_registry())


def test_what_cannot_work_is_said_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs delt-host[ray]")
    pytest.importorskip("submitit", reason="needs delt-host[slurm]")
    registry = load_registry()
    away = engine_for("ray", registry, "127.0.0.1:9")
    here, slurm = engine_for("ray", registry), engine_for("slurm", registry)
    with pytest.raises(InputError, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        away.check("cpu")
    with pytest.raises(InputError, match="say cuda"):
        here.check("cuda:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="no Slurm on this machine"):
        slurm.check("cpu")


@pytest.fixture(autouse=True)
def _no_cluster_of_others(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    yield


MINE = """
from pathlib import Path
from delt_host import Engine, hookimpl

class Mine(Engine):
    file: str = ""

    def check(self, device):
        assert device == "cpu"

    def fill(self, comparison, threads):
        missing = [step.stage for step in comparison.steps() if not step.kept]
        Path(self.file).write_text(f"{threads} {' '.join(missing)}")

@hookimpl
def delt_engines():
    return {"mine": Mine}
"""


@pytest.mark.usefixtures("with_teacher")
def test_an_engine_of_somebody_else_is_used(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("mine-engine", MINE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    small = [
        "-m",
        "random-real",
        "--no-controls",
        "--ipc",
        "1",
        "--seeds",
        "1",
        *SQUEEZED,
        "--set",
        "protocol.epochs=1",
    ]
    done = delt_host("run", *small, "--threads", "1", "--engine", "mine,file=left", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    threads, *missing = (tmp_path / "left").read_text().split()
    assert threads == "1" and "initialize" in missing and "evaluate" in missing and "squeeze" not in missing


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        (MINE.replace("class Mine(Engine)", "class Mine"), "mine", "unknown engine 'mine'.*mine-engine"),
        (MINE.replace('"mine": Mine', '"ray": Mine'), "ray", "two plugins provide the engine 'ray'"),
        (MINE.replace('"mine": Mine', '"local": Mine'), "local", "two plugins provide the engine 'local'"),
    ],
    ids=["no engine", "clash", "clash with the host"],
)
def test_what_cannot_be_used_as_an_engine_is_one_sentence(install: Install, source: str, name: str, says: str) -> None:
    install("mine-engine", source)
    with pytest.raises(InputError, match=says):
        engine_for(name, load_registry())


def test_a_plugin_of_engines_that_nobody_asks_for_brings_no_stages() -> None:
    code = "import sys, delt_plugins.engines; print(*{'delt_host.stages', 'ray', 'submitit'} & {*sys.modules})"
    assert cold("-c", code).stdout.split() == []
