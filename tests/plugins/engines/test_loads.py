"""How many pieces a job of Slurm does."""

from __future__ import annotations

from delt_host.workshop import Task
from delt_plugins.engines.slurm import WORTH_A_JOB, SlurmEngine, loads_of


def task(stage: str, number: int, passes: float) -> Task:
    return Task(stage, "delt", 0, number, (stage, str(number)), (), passes)


def sizes(tasks: list[Task], per_job: int) -> list[int]:
    loads = loads_of(tasks, per_job)
    assert [each for load in loads for each in load] == tasks
    return [len(load) for load in loads]


def test_blocks_of_labels_share_a_job() -> None:
    blocks = [task("relabel", number, WORTH_A_JOB / 40) for number in range(100)]
    students = [task("evaluate", number, WORTH_A_JOB / 40) for number in range(3)]
    unknown = [task("evaluate", number, 0.0) for number in range(2)]
    assert SlurmEngine().per_job == 0
    assert sizes([*blocks, *students, *unknown], 0) == [40, 40, 20, 1, 1, 1, 1, 1]
    assert sizes([*blocks[:2], *unknown, *blocks[2:4]], 0) == [2, 1, 1, 2]
    assert sizes(blocks, 30) == [30, 30, 30, 10]
    assert sizes([], 0) == []
