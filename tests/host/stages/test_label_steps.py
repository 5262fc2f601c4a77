"""Labels for every view: a step for each block of epochs, which machines share and which longer trainings find again."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from delt_host.contracts import labels as labels_module
from delt_host.contracts.observer import Observer
from delt_host.contracts.services import Services
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.spread.task import Description
from delt_host.spread.task import tasks as tasks_of
from delt_host.spread.worker import Worker
from delt_host.stages import story
from delt_host.stages.course import Course
from delt_host.stages.estimate import ENTRY, plan_run
from delt_host.stages.host import Host
from delt_host.stages.step import Step, expected
from delt_host.stages.stopwatch import Speed, Stopwatch
from delt_host.store.store import Store

SMALL = {"dataset.image_size": 8, "teacher.epochs": 4}
VIEWS = (
    20 * (4 + 8 + 1 + 4) + 2 * 20
)  # bytes an epoch: order, box, flip and partner an image, a mixture for both batches
EPOCH = VIEWS + 20 * 2 * 10
pytestmark = pytest.mark.usefixtures("with_teacher", "two_epochs_a_block")


@pytest.fixture
def two_epochs_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels_module, "BLOCK_BYTES", 2 * EPOCH + 1)


class Told(Observer):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int, str]] = []
        self.done = 0

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        self.stages.append((name, total, unit))
        self.done = 0
        yield
        if unit == "epochs":
            assert self.done == total, name

    def advance(self, done: int, terms: object = None) -> None:
        self.done += done


def comparison_of(store: Path, epochs: int, **said: object) -> story.Comparison:
    registry, table = load_registry(), {"method": ["random-real"], "control": [], "ipc": 2, "seeds": 1}
    table |= {"regime": ["views"], "set": {**SMALL, "protocol.epochs": epochs}, **said}
    return story.outlined(resolve(Request.model_validate(table), registry), Host(registry, Store(store), Told()))


def course_of(comparison: story.Comparison) -> Course:
    (course,) = comparison.courses()
    return course


class ASecondEach(Stopwatch):
    """Of whatever network."""

    def __call__(self, *_network: object) -> Speed:
        return Speed(1.0, 1.0, 1.0)


def test_blocks_are_steps_that_are_told_as_one(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path / "store", epochs=5)
    course = course_of(comparison)
    labels, (scores,) = course["relabel"], course["evaluate"]
    assert [step.total for step in labels] == [2, 2, 1] and all(step.travels for step in labels)
    assert [step.size_bytes() for step in labels] == [2 * EPOCH, 2 * EPOCH, EPOCH]
    assert set(labels) <= set(scores.needs), "a student waits for all of them"
    assert [sum(passes.images for passes in step.cost) for step in labels] == [40, 40, 20]
    assert [work.stage for work in expected(course.steps)] == ["initialize", "pack", "relabel", "evaluate"]
    (line,) = [each for each in plan_run(comparison, ASecondEach()) if each.stage == "relabel"]
    assert (line.steps, line.work, line.seconds, line.bytes) == (3, "100 images", 100.0, 5 * EPOCH + 3 * ENTRY)
    (measured,) = story.run(comparison)
    observer = comparison.host.observer
    assert isinstance(observer, Told) and observer.stages.count(("relabel", 5, "epochs")) == 1
    assert not measured.failure and measured.label_bytes == 5 * EPOCH


def test_longer_training_makes_what_is_missing_alone(tmp_path: Path) -> None:
    """The whole blocks have one key for however many epochs; of the last the student's own is another."""
    short, long = (comparison_of(tmp_path / "store", epochs=epochs) for epochs in (4, 7))
    assert all(not measured.failure for measured in story.run(short))
    kept = [step.kept for step in course_of(long)["relabel"]]
    assert kept == [True, True, False, False]
    assert all(not measured.failure for measured in story.run(long))
    assert isinstance(long.host.observer, Told)
    assert ("relabel", 3, "epochs") in long.host.observer.stages


def test_one_step_where_labels_are_not_kept_by_view(tmp_path: Path) -> None:
    regimes = ["hard", "fixed", "online:fair", "views"]
    course = course_of(comparison_of(tmp_path / "store", epochs=5, regime=regimes, students=2))
    labelled = [[len(course.labels_steps(column, student)) for student in (0, 1)] for column in course.regimes]
    assert labelled == [[1, 1], [1, 1], [1, 1], [3, 3]]
    several: list[Step] = [step for column, student in course.tellings for step in course.labels_steps(column, student)]
    assert several == list(course["relabel"])


def test_machines_share_the_blocks_of_one_student(tmp_path: Path) -> None:
    """Each worker makes one block and no other; a student elsewhere finds all of them."""
    comparison = comparison_of(tmp_path / "store", epochs=5)
    description = Description.of(comparison, threads=1)
    store, teachers = comparison.host.store, (comparison.problem.teachers,)
    tasks = tasks_of(comparison)
    assert [(task.stage, task.part) for task in tasks] == [*(("relabel", part) for part in range(3)), ("evaluate", 0)]
    for number, task in enumerate(tasks):
        there = Store(tmp_path / f"worker-{number}")
        if task.stage == "evaluate":
            for name in store.made:
                there.admit(*name, store.export(*name))
        for stage, key in task.needs:
            there.admit(stage, key, store.export(stage, key))
        worker = Worker(description, there, comparison.problem.data, teachers)
        there.made.clear()
        worker.do(task)
        assert [stage for stage, _ in there.made] == (
            ["evaluate"] if task.stage == "evaluate" else ["labels", "relabel"]
        )
        for name in there.made:
            store.admit(*name, there.export(*name))
    assert all(step.kept for step in course_of(comparison).steps)


def test_what_failed_before_is_no_task_again_nor_what_needs_it(tmp_path: Path) -> None:
    """As in the pilot of a run that decides how many sets it has."""
    comparison = comparison_of(tmp_path / "store", epochs=5)
    before = tasks_of(comparison)
    comparison.host.store.failed[before[0].entry] = "two workers died at it"
    assert tasks_of(comparison) == before[1:-1], "neither that block of labels nor the student"


def test_a_student_elsewhere_is_sent_the_blocks_that_are_kept(tmp_path: Path) -> None:
    """Of an interrupted run: the labels themselves beside the marks that they were made."""
    comparison = comparison_of(tmp_path / "store", epochs=5)
    for step in course_of(comparison).steps:
        if step.stage != "evaluate":
            step.entry()
    (task,) = tasks_of(comparison)
    assert [stage for stage, _ in task.needs].count("labels") == 3 and task.passes > 0
    there, store = Store(tmp_path / "worker"), comparison.host.store
    for stage, key in task.needs:
        there.admit(stage, key, store.export(stage, key))
    description = Description.of(comparison, threads=1)
    worker = Worker(description, there, comparison.problem.data, (comparison.problem.teachers,))
    there.made.clear()
    worker.do(task)
    assert [stage for stage, _ in there.made] == ["evaluate"], "no block is made again"


def test_services_go_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Services())).checkpoint.load() is None
