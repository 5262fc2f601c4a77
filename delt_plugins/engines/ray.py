"""Pieces of a run as tasks of a Ray cluster: of this machine, or of as many as there are.

No file system is shared. What a piece needs comes to its node once, through Ray's object store, as the bytes of the
entries in the store; what it made goes back the same way and is checked before it is let in.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from delt_host import Engine, InputError, RunError, Teacher
from delt_host.workshop import Name, Store, own_process
from delt_plugins.engines.parcel import DataParcel, pack_data, pack_teachers, unpack_data, unpack_teachers

if TYPE_CHECKING:  # the stages are not waited for by whoever asks for another engine
    from delt_host.workshop import Comparison, Description, Task, Worker

Parcel = dict[Name, bytes]
"""Entries of a store as they lie in its files."""
Result = tuple[str, Parcel]
"""What went wrong, or nothing, and what was made."""

PATIENCE = 5.0  # seconds that a cluster's head has to answer
POLL = 1.0  # seconds between looks at which nodes are alive


class RayEngine(Engine):
    """A Ray cluster. Nodes need the same packages, and the dataset's files where it does not fit in memory."""

    address: str = "local"
    """``HOST:PORT`` of a cluster's head, ``auto`` for the one that runs on this machine, ``local`` for one of its own."""
    retries: int = Field(3, ge=0)
    """How often a piece is done again whose process or node has died."""

    def check(self, device: str) -> None:
        from delt_plugins.engines.work import check_device

        check_device(device)
        _ray()
        host, colon, port = self.address.rpartition(":")
        if colon and "://" not in self.address:  # Ray itself would try for minutes
            try:
                socket.create_connection((host, int(port)), timeout=PATIENCE).close()
            except (OSError, ValueError) as error:
                raise InputError(f"no Ray cluster at {self.address}: {error}") from None

    def fill(self, comparison: Comparison, threads: int) -> None:
        from delt_plugins.engines.work import work_of

        host = comparison.host
        tasks, description = work_of(comparison, threads)
        if not tasks:
            return
        description = replace(description, files=host.registry.files.sources())
        ray = _ray()
        try:
            ray.init(address=self.address, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"no Ray cluster at {self.address}: {error}") from None
        try:
            self._spread(ray, tasks, description, comparison)
        finally:
            ray.shutdown()

    def _spread(self, ray: Any, tasks: Sequence[Task], description: Description, comparison: Comparison) -> None:
        problem, host = comparison.problem, comparison.host
        cards = int(problem.compute.device == "cuda")
        _check_resources(ray, description.threads, cards)
        shared = [ray.put(part) for part in (description.to_json(), pack_data(problem.data))]
        shared.append(ray.put([pack_teachers(each) for each in comparison.teachers]))
        piece = ray.remote(_do).options(num_cpus=description.threads, num_gpus=cards, max_retries=self.retries)
        made: dict[Name, Any] = {}
        waiting: dict[Any, Task] = {}
        for task in tasks:
            for stage, key in task.needs:
                if (stage, key) not in made:
                    made[stage, key] = ray.put(("", {(stage, key): host.store.export(stage, key)}))
            needs = [made[need] for need in task.needs]
            made[task.entry] = piece.remote(*shared, task.to_json(), *needs)
            waiting[made[task.entry]] = task
        made.clear()  # Ray keeps what pieces still wait for, and lets go of the rest
        nodes = _alive(ray)
        detail = f"{len(tasks)} pieces on {len(nodes)} {'node' if len(nodes) == 1 else 'nodes'} of Ray"
        with host.observer.stage("spread", detail, len(tasks), "pieces"):
            while waiting:
                done, _ = ray.wait(list(waiting), num_returns=1, timeout=POLL)
                for reference in done:
                    _take(ray, reference, waiting.pop(reference), host.store)
                    host.observer.advance(1)
                if lost := nodes - _alive(ray):
                    host.observer.note(
                        f"{len(lost)} of {len(nodes)} nodes are gone; their work is done again elsewhere"
                    )
                    nodes -= lost


def _take(ray: Any, reference: Any, task: Task, store: Store) -> None:
    """A finished piece's entries into the store, or its failure."""
    try:
        failure, parcel = ray.get(reference)
    except ray.exceptions.RayError as error:
        failure, parcel = f"{task}: {str(error).strip().splitlines()[0]}", {}
    if failure:
        store.failed[task.entry] = failure
    for (stage, key), content in parcel.items():
        store.admit(stage, key, content)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        import ray
    except ImportError:
        raise InputError("--engine ray needs Ray: pip install 'delt-host[ray]'") from None
    return ray


def _alive(ray: Any) -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _check_resources(ray: Any, threads: int, cards: int) -> None:
    """InputError where no node could ever take a piece: Ray would wait without an end."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= threads and node.get("GPU", 0) >= cards for node in nodes):
        wanted = f"{threads} processors" + (" and a GPU" if cards else "")
        most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        raise InputError(f"no node of the Ray cluster has {wanted} for a piece (the largest: {most}); see --threads")


class _Process:
    """What a worker's process keeps from piece to piece: a store of its own, gone with it, and the run it is at."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="delt-host-ray-")
        self.store = Store(Path(self.folder.name))
        self.run: tuple[str, Worker] | None = None

    def worker(self, description: str, data: DataParcel, teachers: Sequence[Mapping[str, bytes]]) -> Worker:
        from delt_host.workshop import NO_TEACHER, Description, Worker

        if self.run is None or self.run[0] != description:
            asked = Description.from_json(description)
            files = [unpack_teachers(each, self.store.root / f"teachers-{n}") for n, each in enumerate(teachers)]
            if len(files) == 1:  # of several seeds none is from a file, which nodes would not have
                tables = [{"name": name, "file": str(path)} for name, path in files[0].items()]
                asked.recipe["teacher"] = tables or [NO_TEACHER]
            own_process(asked.threads)
            loaded = tuple(
                tuple(replace(Teacher.load(path), name=name) for name, path in each.items()) for each in files
            )
            self.run = description, Worker(asked, self.store, unpack_data(data), loaded)
        return self.run[1]


_process: _Process | None = None


def _do(
    description: str, data: DataParcel, teachers: Sequence[Mapping[str, bytes]], task: str, *needs: Result
) -> Result:
    """One piece, on whatever node."""
    from delt_host.workshop import Task

    global _process
    for failure, _ in needs:
        if failure:
            return failure, {}
    try:
        _process = _process or _Process()
        store = _process.store
        for _, parcel in needs:
            for (stage, key), content in parcel.items():
                store.admit(stage, key, content)
        worker = _process.worker(description, data, teachers)
        before = len(store.made)
        worker.do(Task.from_json(task))
        return "", {name: store.export(*name) for name in store.made[before:]}
    except (InputError, RunError) as error:
        return str(error), {}
