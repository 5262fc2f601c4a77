"""Starts are made and kept in blocks of whole classes; how large these are changes nothing of a set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from delt_host.contracts.observer import Observer
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.stages import distil, story
from delt_host.stages.course import Course
from delt_host.stages.host import Host
from delt_host.stages.step import do
from delt_host.store.store import Store

pytestmark = pytest.mark.usefixtures("with_teacher")
THREE_CLASSES = 3 * 2 * 3 * 8 * 8 * 4  # bytes of their images


def course_of(store: Path, method: str) -> Course:
    registry = load_registry()
    sizes = {"dataset.image_size": 8, "teacher.epochs": 4, "protocol.epochs": 2}
    steps = {} if method in ("rded", "random-real") else {"scheduler.iterations": 8}
    request = Request.model_validate(
        {"method": [method], "control": [], "ipc": 2, "seeds": 1, "regime": ["views"], "set": {**sizes, **steps}}
    )
    comparison = story.prepare_run(resolve(request, registry), Host(registry, Store(store), Observer()))
    (course,) = comparison.courses()
    return course


def finished(course: Course) -> str:
    for step in course.steps[: course.steps.index(course["finish"][0]) + 1]:
        do([step])
    return course.distilled.fingerprint


@pytest.mark.parametrize("method", ["delt", "cda", "rded", "random-real"])
def test_blocks_change_nothing_of_a_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    whole = course_of(tmp_path / "whole", method)
    assert [step.inputs["classes"] for step in whole["initialize"]] == [[0, 10]]
    wanted = finished(whole)
    monkeypatch.setattr(distil, "AT_ONCE", THREE_CLASSES)
    parted = course_of(tmp_path / "parted", method)
    assert [step.inputs["classes"] for step in parted["initialize"]] == [[0, 3], [3, 6], [6, 9], [9, 10]]
    assert sum(step.total for step in parted["initialize"]) == 20
    assert finished(parted) == wanted
    units = torch.tensor([19, 0, 7, 6, 1])
    assert torch.equal(parted.start(units).images, whole.start(torch.arange(20)).images[units])


def test_a_stack_needs_its_own_blocks_alone_and_what_is_missing_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distil, "AT_ONCE", 1)
    course = course_of(tmp_path / "store", "cda")
    starts = course["initialize"]
    assert len(starts) == 10, "a class is never parted"
    for step in course["recover"]:
        wanted = {starts[label].key for label in (course.units_of(step.inputs["groups"]) // 2).tolist()}
        assert {need.key for need in step.needs if need.stage == "initialize"} == wanted
    wanted_set = finished(course)
    places = [step.host.store.place(*step.name) for step in starts]
    written = [place.stat().st_ino for place in places]
    places[4].unlink()
    again = course_of(tmp_path / "store", "cda")
    assert finished(again) == wanted_set
    assert [
        place.stat().st_ino == number for place, number in zip(places, written, strict=True) if place != places[4]
    ] == [True] * 9
    assert places[4].is_file()
