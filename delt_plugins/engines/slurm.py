"""Pieces of a run as Slurm job arrays, submitted through submitit. The store lies on a file system that all nodes see."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from delt_host import Engine, InputError, Problem, RunError
from delt_host.workshop import Store, own_process

if TYPE_CHECKING:  # the stages are not waited for by whoever asks for another engine
    from delt_host.workshop import Comparison, Description, Host, Task


WORTH_A_JOB = 100_000  # images through networks, forward and back: a minute or more


class SlurmEngine(Engine):
    """Job arrays, each of all that waits for nothing else: groups first, then labels, then students.

    A preempted job is queued again and goes on from its checkpoint."""

    partition: str = ""
    """Slurm's partition; empty: the cluster's default."""
    account: str = ""
    minutes: int = Field(240, ge=1)
    """Time limit of a job."""
    memory_gb: float = Field(16.0, gt=0)
    """Memory of a job."""
    at_once: int = Field(256, ge=1)
    """Jobs of an array that may run at the same time."""
    per_job: int = Field(0, ge=0)
    """Pieces that a job does, one after the other: a job needs some ten seconds before its first. 0: as many blocks of labels
    as put 100,000 images through networks, forward and back, and one of everything else."""
    attempts: int = Field(3, ge=1)
    """How often a piece is submitted whose job leaves neither result nor reason."""
    executor: Literal["slurm", "local"] = "slurm"
    """`local`: processes of this machine, for trying it out."""

    def check(self, device: str) -> None:
        from delt_plugins.engines.work import check_device

        check_device(device)
        _submitit()
        if self.executor == "slurm" and shutil.which("srun") is None:
            raise InputError(
                "there is no Slurm on this machine: srun is not found; --engine slurm,executor=local tries it out"
            )

    def fill(self, comparison: Comparison, threads: int) -> None:
        from delt_host.workshop import JOBS
        from delt_plugins.engines.work import work_of

        problem, host = comparison.problem, comparison.host
        tasks, description = work_of(comparison, threads)
        if not tasks:
            return
        executor = self._executor(description, problem, host.store.root / JOBS)
        text = description.to_json()
        with host.observer.stage("spread", f"{len(tasks)} pieces as jobs of Slurm", len(tasks), "pieces"):
            waiting = list(tasks)
            while waiting:
                ahead = {task.entry for task in waiting}
                left = ready = [task for task in waiting if ahead.isdisjoint(task.needs)]
                waiting = [task for task in waiting if task not in ready]
                for attempt in range(self.attempts):
                    left = self._array(executor, text, left, host, final=attempt == self.attempts - 1)

    def _array(self, executor: Any, description: str, tasks: Sequence[Task], host: Host, final: bool) -> list[Task]:
        """Submit the tasks that nothing they need has failed of, wait, and give those that left nothing."""
        store = host.store
        for task in tasks:
            if failures := [store.failed[need] for need in task.needs if need in store.failed]:
                store.failed[task.entry] = failures[0]
        tasks = [task for task in tasks if task.entry not in store.failed]
        if not tasks:
            return []
        loads = loads_of(tasks, self.per_job)
        job_of = Job(description, str(store.root), store.checkpoint_every)
        jobs = executor.map_array(job_of, [[task.to_json() for task in load] for load in loads])
        nothing: list[Task] = []
        for job, load in zip(jobs, loads, strict=True):
            said = _result(job)
            for task in load:
                if store.holds(*task.entry):
                    host.observer.advance(1)
                elif failure := said.get(task.to_json(), ""):
                    store.failed[task.entry] = failure
                elif final:
                    store.failed[task.entry] = f"{task}: its job ended without a result; see {job.paths.stderr}"
                else:
                    host.observer.note(f"{task}: its job ended without a result and is submitted again")
                    nothing.append(task)
        return nothing

    def _executor(self, description: Description, problem: Problem, folder: Path) -> Any:
        executor = _submitit().AutoExecutor(folder, cluster=self.executor)
        settings: dict[str, Any] = {
            "name": "delt-host",
            "timeout_min": self.minutes,
            "mem_gb": self.memory_gb,
            "cpus_per_task": description.threads,
            "gpus_per_node": int(problem.compute.device == "cuda"),
            "slurm_array_parallelism": self.at_once,
        }
        settings |= {f"slurm_{name}": value for name in ("partition", "account") if (value := getattr(self, name))}
        executor.update_parameters(**settings)
        return executor


def loads_of(tasks: Sequence[Task], per_job: int) -> list[list[Task]]:
    """What each job does of tasks that wait for nothing else, in their order: so many, or 0: as `SlurmEngine.per_job` says."""
    if per_job:
        return [list(tasks[first : first + per_job]) for first in range(0, len(tasks), per_job)]
    loads: list[list[Task]] = []
    for task in tasks:
        last = loads[-1] if loads else []
        blocks = bool(last) and {each.stage for each in (*last, task)} == {"relabel"} and task.passes > 0
        if blocks and sum(each.passes for each in (*last, task)) <= WORTH_A_JOB:
            last.append(task)
        else:
            loads.append([task])
    return loads


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise InputError("--engine slurm needs submitit: pip install 'delt-host[slurm]'") from None
    return submitit


def _result(job: Any) -> dict[str, str]:
    """What went wrong in each task of a job; nothing where it ended without saying."""
    try:
        return dict(job.result())
    except Exception:  # submitit raises many things for a job that died; whether there is an entry decides
        return {}


class _Preempted(KeyboardInterrupt):
    """A signal wants the job to end: no failure of the component whose code it came into."""


@contextmanager
def _preemptible() -> Iterator[None]:
    """Let submitit's handlers of signals, which call sys.exit, end a job in the middle of a component."""

    def passing(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except SystemExit as ended:
                raise _Preempted(ended.code) from None

        return handle

    former = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)}
    theirs = {number: handler for number, handler in former.items() if callable(handler)}
    for number, handler in theirs.items():
        signal.signal(number, passing(handler))
    try:
        yield
    finally:
        for number, handler in theirs.items():
            signal.signal(number, handler)


class Job:
    """What a job calls: tasks into the common store, one after the other. It returns what went wrong in which."""

    def __init__(self, description: str, root: str, checkpoint_every: float) -> None:
        self.description, self.root, self.checkpoint_every = description, root, checkpoint_every

    def __call__(self, tasks: list[str]) -> dict[str, str]:
        try:
            with _preemptible():
                return self._done(tasks)
        except _Preempted as preempted:
            raise SystemExit(*preempted.args) from None

    def _done(self, tasks: list[str]) -> dict[str, str]:
        from delt_host.workshop import Description, Task, Worker

        store = Store(Path(self.root), checkpoint_every=self.checkpoint_every)
        failures = {}
        try:
            description = Description.from_json(self.description)
            own_process(description.threads)
            worker = Worker(description, store)
        except (InputError, RunError) as error:
            return dict.fromkeys(tasks, str(error))
        for task in tasks:
            try:
                worker.do(Task.from_json(task))
            except (InputError, RunError) as error:
                failures[task] = str(error)
        return failures

    def checkpoint(self, tasks: list[str]) -> Any:
        """What submitit queues again when the job is preempted or out of time: the same, which goes on."""
        return _submitit().helpers.DelayedSubmission(self, tasks)
