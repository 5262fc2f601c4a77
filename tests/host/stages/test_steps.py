"""One list of steps: whoever runs, foretells, lists or spreads a run knows a stage that was added to it in one file."""

from __future__ import annotations

import gc
import json
import os
import weakref
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from commands import delt_host
from conftest import TESTS, Install
from delt_host.compare.lines import lines
from delt_host.contracts.component import Component
from delt_host.contracts.initializer import Initializer, Start
from delt_host.contracts.observer import Observer
from delt_host.contracts.prepared import Prepared
from delt_host.contracts.problem import Problem
from delt_host.contracts.results import Results, read_results
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.runs.distilled import load
from delt_host.spread.task import Description
from delt_host.spread.task import tasks as tasks_of
from delt_host.spread.worker import Worker
from delt_host.stages import story
from delt_host.stages.course import Course
from delt_host.stages.host import Host
from delt_host.stages.step import bunches, expected
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store
from delt_plugins.delt.ranked import Ranked
from delt_plugins.delt.true_class import true_class_scores
from delt_plugins.gvbsm.real_moments import Asked, real_moments
from delt_plugins.sre2l.batch_norm import BatchNormMatching

THROWAWAY = TESTS / "throwaway.py"
SMALL = {"dataset.image_size": 8, "teacher.epochs": 4, "scheduler.iterations": 16, "protocol.epochs": 2}
OPTIONS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]


@pytest.mark.usefixtures("with_teacher")
def test_a_stage_added_in_one_file_is_run_foretold_and_listed(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines have it too: tests/plugins/engines/test_engines.py runs with the same file."""
    install("throwaway", THROWAWAY.read_text())
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["run", "-m", "delt", "--no-controls", "--ipc", "2", "--seeds", "2", *OPTIONS]

    def foretold() -> dict[str, dict[str, object]]:
        done = delt_host(*words, "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        return {line["stage"]: line for line in json.loads(done.stdout)["steps"]}

    before = foretold()["sharpness"]
    assert (before["what"], before["steps"], before["state"], before["work"]) == ("delt", 2, "missing", "60 images")
    done = delt_host(*words, "--out", "run")
    told = [line.split(":")[0] for line in done.stderr.splitlines() if line.startswith("sharpness")]
    assert done.returncode == 0 and told == ["sharpness delt, seed 0", "sharpness delt, seed 1"], done.stderr
    ranked = [line for line in done.stderr.splitlines() if line.startswith("prepare true-class-scores")]
    assert len(ranked) == 1, "what rows and seeds share is told once"
    assert foretold()["sharpness"]["state"] == "kept"
    listed = [row for row in json.loads(delt_host("store", "--json").stdout) if row["stage"] == "sharpness"]
    assert sorted(row["about"] for row in listed) == ["delt, seed 0", "delt, seed 1"]


BARE = {"method": ["delt"], "control": [], "ipc": 2, "seeds": 1, "regime": ["views"], "set": SMALL}


def comparison_of(store: Path, **said: object) -> story.Comparison:
    registry = load_registry()
    request = Request.model_validate(
        {"method": ["delt"], "control": [], "ipc": 2, "seeds": 1, "regime": ["views"], "set": SMALL, **said}
    )
    return story.outlined(resolve(request, registry), Host(registry, Store(store), Observer()))


@pytest.mark.usefixtures("with_teacher")
def test_the_time_left_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "STORY", story.STORY)
    exec(compile(THROWAWAY.read_text(), str(THROWAWAY), "exec"), {"__name__": "throwaway"})
    comparison = comparison_of(tmp_path / "store")
    works = expected(comparison.steps())
    (work,) = [work for work in works if work.stage == "sharpness"]
    assert (work.detail, work.passes, work.place) == ("delt, seed 0", 10.0, "row 1 of 1, seed 1 of 1")
    assert [work.stage for work in works].index("sharpness") == 1 + [work.stage for work in works].index("initialize")


def test_before_there_is_a_teacher_equal_work_is_known_and_nothing_else(tmp_path: Path) -> None:
    rows = {"baseline": ["delt,scheduler.residual=0.5"], "seeds": 2}
    steps = list(comparison_of(tmp_path, **rows).steps())
    assert [step.known for step in steps] == [step.stage == "squeeze" for step in steps]
    assert not any(step.kept for step in steps)
    recovered = [step.key for step in steps if step.stage == "recover"]
    assert len(recovered) == len(set(recovered)) == 4, "the residual is blended in before images are kept"
    labelled = [step.key for step in steps if step.stage == "relabel"]
    assert len(set(labelled)) == 4


@pytest.mark.usefixtures("with_teacher")
def test_needs_come_before_and_a_step_pulls_what_is_missing(tmp_path: Path) -> None:
    comparison = comparison_of(tmp_path / "store", evaluator=["cost"])
    (course,) = comparison.courses()
    place = {step.name: number for number, step in enumerate(course.steps)}
    for step in course.steps:
        assert all(place[need.name] < place[step.name] for need in step.needs)
    assert [bunch[0].stage for bunch in bunches(course.steps)] == [
        "prepare", "initialize", "recover", "count", "finish", "evaluate",
    ], "cost is the set's: no student is told anything"  # fmt: skip
    (scored,), (scorer,) = course["evaluate"], course.scorers
    measured = course.measured(scorer, scored)
    assert measured.evaluation and measured.evaluation.scores["image-iterations"] > 0
    assert measured.score.regime == "" and all(step.kept for step in course.steps)


@pytest.mark.usefixtures("with_teacher")
def test_a_row_that_is_done_leaves_no_tensors_behind(tmp_path: Path) -> None:
    """But for the set itself, which the run's folder is written from."""
    comparison = comparison_of(tmp_path / "store", seeds=3)
    starts = set()
    gc.disable()  # circles would be found by chance, later
    try:
        with pytest.MonkeyPatch.context() as patch:
            read = Course.start

            def noted(course: Course, units: Tensor) -> Start:
                starts.add(weakref.ref(course))
                return read(course, units)

            patch.setattr(Course, "start", noted)
            for number, _ in enumerate(story.run(comparison), 1):
                assert sum(course() is not None for course in starts) <= 1 and len(starts) == number
    finally:
        gc.enable()


@pytest.mark.usefixtures("with_teacher")
def test_more_students_of_the_same_sets(tmp_path: Path) -> None:
    """The first student is that of a run with one; another draws weights and views of its own, and no image is made again."""
    words = ["run", "-m", "delt", "-b", "cda", "--no-controls", "--ipc", "2", "--seeds", "2", *OPTIONS, "--evaluator"]
    words += ["student", "--evaluator", "diversity", "--regime", "views"]
    assert delt_host(*words, "--out", "one").returncode == 0
    done = delt_host(*words, "--students", "2", "--out", "two")
    assert done.returncode == 0, done.stderr
    made = [line for line in done.stderr.splitlines() if line.split(" ")[0] in ("recover", "relabel", "evaluate")]
    assert len(made) == 2 * 2 * (1 + 2 * 2 + 1), "what is of the set alone is scored once"
    assert all(line.endswith("from the store") != ("student 1" in line) for line in made), made
    one, two = read_results(tmp_path / "one"), read_results(tmp_path / "two")

    def scores(results: Results, student: int) -> dict[tuple[str, str, int], dict[str, float | None]]:
        found = [score for score in results.scores if score.student == student]
        return {(score.row, score.evaluator, score.set): score.scores for score in found}

    assert scores(two, 0) == scores(one, 0)
    assert {place[1] for place in scores(two, 1)} == {"convnet3"}
    assert any(scores(two, 1)[place] != scores(two, 0)[place] for place in scores(two, 1)), (
        "few test images: some agree"
    )
    (difference,) = [each for each in two.differences if each.evaluator == "convnet3"]
    assert (difference.sets, difference.students) == (2, 2) and "2 seeds of 2 students" in difference.sentence
    line = next(line for line in lines(two) if (line.row.label, line.evaluator.title) == ("delt", "convnet3"))
    by_hand = [scores(two, student)["delt", "convnet3", 0]["top1"] for student in (0, 1)]
    assert line.headline[0] == pytest.approx(sum(by_hand) / 2) and line.summary.n == 2  # type: ignore[arg-type]
    assert "seeds 0, 1, each the mean of 2 students" in " ".join(done.stdout.split())
    for file in (tmp_path / "one").rglob("distilled.safetensors"):
        other = tmp_path / "two" / file.relative_to(tmp_path / "one")
        assert load(other).pixels.equal(load(file).pixels)
    done = delt_host("evaluate", "two", "--students", "3", "-e", "student", "-q")
    assert done.returncode == 0 and read_results(tmp_path / "two/evaluations/student").recipe["students"] == 3
    done = delt_host(*words, "--students", "0")
    assert done.returncode == 2 and "--students must be 1 or more, and with 2 seeds 500 at most" in done.stderr


class Stopped(Exception):
    pass


class Impatient(Checkpoint):
    """Due after every batch, and stops the work at the third."""

    def __init__(self, path: Path, stop: bool) -> None:
        super().__init__(path, every=0.0)
        self.stop, self.saved = stop, 0

    def save(self, tensors, facts) -> None:  # type: ignore[no-untyped-def]
        super().save(tensors, facts)
        self.saved += 1
        if self.stop and self.saved == 2:
            raise Stopped


@pytest.mark.usefixtures("with_teacher")
def test_a_component_that_cannot_say_what_it_prepares_fails_its_row_alone(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("broken", BROKEN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["run", "-m", "delt,matcher=undecided", "-b", "delt,matcher=careless", "-b", "delt"]
    words += ["-b", "delt,matcher=late", "--no-controls", "--ipc", "1", "--seeds", "2", *OPTIONS]
    done = delt_host(*words, "--dry-run", env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0 and "delt (matcher=undecided) will fail: matcher undecided of broken" in done.stdout
    assert "Nothing is left" not in done.stdout
    done = delt_host(*words, "--out", "run")
    assert done.returncode == 1 and "failed: delt (matcher=careless), delt (matcher=late)," in done.stderr
    assert "what it prepares as 'sums' must be a dict of names to tensors, not {'sum': 'float'}" in done.stderr
    assert "delt (matcher=late), seed 1: give it something else" in done.stderr
    assert "Traceback" not in done.stderr and (tmp_path / "tried").read_text() == "x", "seeds do not try it again"
    scored = {score.row for score in read_results(tmp_path / "run").scores if not score.failure}
    assert scored == {"delt"}
    done = delt_host("run", "-m", "delt,matcher=late", *OPTIONS, "--ipc", "1", "--out", "early")
    assert done.returncode == 2 and "give it something else" in done.stderr, (
        "bad input that shows before anything is done"
    )


BROKEN = """
from delt_host import InputError, Prepared, hookimpl
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.evaluators.students import Student

class Undecided(BatchNormMatching):
    def prepares(self, problem):
        raise LookupError("which?")

class Careless(BatchNormMatching):
    def prepares(self, problem):
        def make(checkpoint):
            with open(problem.store.root.parent / "tried", "a") as file:
                file.write("x")
            return {"sum": 1.0}
        return [Prepared("sums", make)]

class Late(BatchNormMatching):
    def bind(self, problem):
        raise InputError("give it something else")

@hookimpl
def delt_matchers():
    return {"undecided": Undecided, "careless": Careless, "late": Late}
"""


def keys(comparison: story.Comparison, stage: str) -> list[str]:
    return [step.key for step in comparison.steps() if step.stage == stage]


@pytest.mark.usefixtures("with_teacher")
def test_keys_have_what_changes_the_bits(tmp_path: Path) -> None:
    one, five = (comparison_of(tmp_path / "store", method=["cda"], ipc=4, stack=stack, set=SETS) for stack in (1, 5))
    assert keys(one, "initialize") == keys(five, "initialize")
    assert not set(keys(one, "relabel")) & set(keys(five, "relabel")), "larger batches are rounded otherwise"
    data = one.problem.data
    other = replace(one, problem=replace(one.problem, data=replace(data, mean=(0.1, 0.2, 0.3))))
    assert keys(one, "squeeze") != keys(other, "squeeze"), "a teacher sees normalised images"


@pytest.mark.usefixtures("with_teacher")
def test_scores_are_keyed_by_the_teachers_that_the_evaluator_asks(tmp_path: Path) -> None:
    def scores(second: str, **said: object) -> list[str]:
        return keys(comparison_of(tmp_path / "store", teacher=["convnet3", second], **said), "evaluate")

    assert scores("wrn_16_2") == scores("convnet3_in"), "whom nobody asks is in no key"
    asked = {"evaluator": [{"name": "student", "teachers": ["convnet3", "wrn_16_2"]}]}
    assert len({*scores("wrn_16_2"), *scores("wrn_16_2", **asked)}) == 2


SETS = {**SMALL, "scheduler.group_size": 10}


@pytest.mark.usefixtures("with_teacher")
@pytest.mark.parametrize(
    ("relabeler", "before", "while_training"), [("fkd", 40, 0), ("fixed", 20, 0), ("hard", 0, 0), ("online", 0, 40)]
)
def test_relabelling_costs_what_goes_through_the_teacher(
    tmp_path: Path, relabeler: str, before: int, while_training: int
) -> None:
    comparison = comparison_of(tmp_path / "store", regime=[f"{relabeler}:fair"])
    (course,) = comparison.courses()
    (labels,), (scores,) = course["relabel"], course["evaluate"]
    assert sum(passes.images for passes in labels.cost) == before
    answers = [passes.images for passes in scores.cost if passes.way == "forward"]
    assert sum(answers) == while_training + len(comparison.problem.data.test)


@pytest.mark.usefixtures("with_teacher")
def test_a_worker_is_sent_all_that_its_piece_needs_and_makes_nothing_else(tmp_path: Path) -> None:
    """With a matcher that prepares: what it prepared is sent to whoever recovers, and what was finished to whoever labels."""
    comparison = comparison_of(tmp_path / "store", method=["gvbsm,matcher.patch=4,matcher.teachers=convnet3"])
    description = Description.of(comparison, threads=1)
    there = tmp_path / "store"
    for number, task in enumerate(tasks_of(comparison)):
        worker_store = Store(tmp_path / f"worker-{number}")
        for stage, key in task.needs:
            worker_store.admit(stage, key, Store(there).export(stage, key))
        teachers = (comparison.problem.teachers,)
        worker = Worker(description, worker_store, comparison.problem.data, teachers)
        worker_store.made.clear()
        worker.do(task)
        made = [name for name in worker_store.made if name[0] != "labels"]
        assert made == [task.entry], task
        for name in worker_store.made:
            comparison.host.store.admit(*name, worker_store.export(*name))
    (course,) = comparison.courses()
    assert all(step.kept for step in course.steps)


@pytest.mark.parametrize("kind", ["ranking", "layers", "classes"])
def test_what_is_prepared_goes_on_from_its_checkpoint_to_the_same_bits(
    kind: str, problem: Problem, tmp_path: Path
) -> None:
    what = {
        "ranking": lambda: true_class_scores(problem),
        "layers": lambda: real_moments(problem, 0, Asked(4, "pad", 500, by_class=False)),
        "classes": lambda: real_moments(problem, 0, Asked(4, "pad", 200, by_class=True)),
    }[kind]()
    whole = what.make(Checkpoint(None))
    with pytest.raises(Stopped):
        what.make(Impatient(tmp_path / "point", stop=True))
    on = Impatient(tmp_path / "point", stop=False)
    again = what.make(on)
    assert whole.keys() == again.keys() and all(whole[name].equal(again[name]) for name in whole)
    batches = {"ranking": 3, "layers": 3, "classes": 7}[kind]
    assert on.saved == batches - 2, "what was done before is not done again"


def test_prepared_things_are_told_apart_by_code_and_by_whose_method_makes_them() -> None:
    def made_by(component: Component) -> dict[str, Any]:
        return Prepared("a", partial(Initializer.passes, component)).identity  # type: ignore[arg-type]

    assert made_by(Ranked()) == made_by(Ranked(patches=2)), "options that count are named"
    assert made_by(Ranked()) != made_by(BatchNormMatching())
    assert Prepared("a", made_by, inputs={"code": 2}).identity["code"] != 2, "inputs lie apart"  # type: ignore[arg-type]
