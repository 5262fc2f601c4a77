"""Two methods with committees of their own in one run: each component sees exactly the teachers that it asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from delt_host.contracts.observer import Observer
from delt_host.contracts.problem import Problem
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.store.store import Store
from delt_plugins.gvbsm.committee import CommitteeLabels
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.sre2l.batch_norm import BatchNormMatching

SMALL = {"dataset.image_size": 8, "teacher.epochs": 4, "scheduler.iterations": 4, "protocol.epochs": 1}
OPTIONS = "matcher.patch=0,matcher.diversity=0"


def comparison_of(store: Path, seed: int = 2) -> story.Comparison:
    """Rows of the committees (convnet3, second) and (third, convnet3_in), and one that asks nobody by name.

    `seed` is the third's, and convnet3_in is asked for without being given.
    """
    committees = {"gvbsm": '["convnet3","second"]', "edc": '["third","convnet3_in"]'}
    others = [{"name": "second", "seed": 1}, {"name": "third", "seed": seed}]
    methods = [f"{name},{OPTIONS},matcher.teachers={theirs}" for name, theirs in committees.items()]
    regimes = [f"committee:fair,relabeler.teachers={theirs}" for theirs in committees.values()]
    registry = load_registry()
    request = Request(
        method=methods,
        baseline=["cda"],
        control=[],
        ipc=1,
        seeds=1,
        regime=[*regimes, "views"],
        set=SMALL,
        teacher=["convnet3", *others],
    )
    return story.outlined(resolve(request, registry), Host(registry, Store(store), Observer()))


def keys(comparison: story.Comparison) -> dict[str, list[str]]:
    """Of each row's steps that make images, by the row's method; and of those that label, by the regime's place."""
    found = {course.row.method: [*course["initialize"], *course["recover"]] for course in comparison.courses()}
    for course in comparison.courses():
        for place, step in enumerate(course["relabel"]):
            found.setdefault(f"{course.row.method} {place}", []).append(step)
    return {name: [step.key for step in steps] for name, steps in found.items()}


def test_each_components_teachers_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_teacher: None
) -> None:
    seen: dict[str, set[tuple[str, ...]]] = {}

    def watched(cls: type, method: str) -> None:
        whole: Callable[..., object] = getattr(cls, method)

        def told(self: object, problem: Problem, *rest: object) -> object:
            seen.setdefault(cls.__name__, set()).add(tuple(teacher.called for teacher in problem.teachers))
            return whole(self, problem, *rest)

        monkeypatch.setattr(cls, method, told)

    watched(GeneralStatistics, "bind")
    watched(CommitteeLabels, "bind")
    watched(BatchNormMatching, "bind")
    outlined = comparison_of(tmp_path / "store")
    assert [each.name for each in outlined.experiment.teachers] == ["convnet3", "second", "third", "convnet3_in"]
    comparison = story.prepare_run(outlined.experiment, outlined.host)
    assert [measurement.failure for measurement in story.run(comparison)] == [""] * 9
    both = {("convnet3", "second"), ("third", "convnet3_in")}
    assert seen == {"GeneralStatistics": both, "CommitteeLabels": both, "BatchNormMatching": {("convnet3",)}}


def test_another_member_changes_the_keys_of_its_row_alone(tmp_path: Path, with_teacher: None) -> None:
    one, other = (keys(comparison_of(tmp_path / "store", seed)) for seed in (2, 3))
    assert one["gvbsm"] == other["gvbsm"] and one["cda"] == other["cda"]
    assert one["edc"][0] == other["edc"][0], "the start is ranked by the first"
    assert set(one["edc"][1:]).isdisjoint(other["edc"][1:]), "what is matched is the committee's"
    assert one["cda 0"] == other["cda 0"] and one["cda 2"] == other["cda 2"], "who is not asked changes nothing"
    assert one["cda 1"] != other["cda 1"]
