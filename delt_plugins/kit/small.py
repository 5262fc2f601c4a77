"""What components are checked on: the handwritten digits at 8 px, teachers with random weights, and values made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin

import torch
from torch import Tensor

from delt_host import (
    Asking,
    Component,
    Compute,
    Cost,
    Curve,
    Distilled,
    Group,
    Phase,
    Plan,
    Problem,
    Protocol,
    RealData,
    Relabeler,
    Start,
    Teacher,
    Views,
)
from delt_host.toolbox import build_model, isolated_rng
from delt_host.workshop import Awaited, Sealed
from delt_plugins.datasets.digits import Digits
from delt_plugins.networks.plugin import delt_models

Kind = TypeVar("Kind", bound=Component)
VARIED = 4
"""Options of which another value is tried, where something may depend on them."""


def random_teacher(data: RealData, model: str = "convnet3", seed: int = 0) -> Teacher:
    """A teacher with random weights, and BatchNorm statistics that are not the trivial 0 and 1."""
    with isolated_rng(seed, "test teacher"):
        network = build_model(model, data.num_classes, data.image_size, delt_models())
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            if name.endswith("running_var"):
                buffer.uniform_(0.3, 2.0)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Teacher(model, state, data.class_names, data.mean, data.std, data.image_size)


def small_problem(ipc: int = 4, seed: int = 0, teacher: str = "convnet3", **protocol: Any) -> Problem:
    """The handwritten digits at 8 px, a random teacher, three epochs of student training, float32 on the CPU."""
    data = Digits(image_size=8).load()
    settings = Protocol(**{"epochs": 3, **protocol})
    return Problem(data, (random_teacher(data, teacher),), ipc, seed, settings, Compute("cpu", "fp32"), delt_models())


def problem_for(thing: Any) -> Problem:
    """A small one, with the teachers that a component asks for by the names of their models."""
    problem = small_problem()
    if not isinstance(thing, Asking) or not thing.teachers:
        return problem
    return replace(problem, teachers=tuple(random_teacher(problem.data, name) for name in thing.teachers))


def without_tests(problem: Problem) -> Problem:
    """The problem whose test images cannot be read: test data choose nothing."""
    said = "looks at problem.data.test, and test data choose nothing: use problem.data.train"
    return problem.of_data(replace(problem.data, test=Sealed(said, error=AssertionError)))


def before_teachers(problem: Problem) -> Problem:
    """The problem as it is planned with: teachers are still to be squeezed, and no image is read."""
    said = "reads images, and plans are made before there are any to look at"
    data = replace(problem.data, train=Sealed(said, problem.data.train.targets, AssertionError))
    return replace(problem.of_data(data), teachers=tuple(map(awaited, problem.teachers)))


def awaited(teacher: Teacher) -> Teacher:
    """The teacher as far as it is known before it is squeezed."""
    known = {each.name: getattr(teacher, each.name) for each in fields(teacher)}
    return Awaited(**{**known, "state": {}})


def views_of(problem: Problem, images: Tensor, targets: Tensor, iteration: int = 0, **others: Any) -> Views:
    """What a matcher is given in an iteration of group 0, for a test of its loss: images (B, 3, S, S), not augmented, and the
    problem's network; `others` replace single fields."""
    given: dict[str, Any] = {
        "images": images,
        "targets": targets,
        "groups": 1,
        "iteration": iteration,
        "generator": partial(problem.generator, "match", 0, iteration),
        "memory": {},
        "index": torch.arange(len(images)),
        "current": lambda: (images.detach(), targets),
        "augment": lambda real: real,
    }
    if "network" not in others:
        given["network"] = problem.network
    return Views(**{**given, **others})


def two_groups(problem: Problem, iterations: int) -> Plan:
    """So many iterations each over the first and the second half of the images."""
    rates, crop = {"images": Curve.constant(0.05)}, Curve.constant(0.5)
    half = problem.num_units // 2
    groups = tuple(
        Group(images=units, phases=(Phase(active=len(units), iterations=iterations, rates=rates, min_crop=crop),))
        for units in (tuple(range(half)), tuple(range(half, problem.num_units)))
    )
    return Plan(groups=groups)


def real_start(problem: Problem) -> Start:
    """The first images of every class, or under an odd seed those that follow."""
    skipped = problem.seed % 2 * problem.count
    members = (problem.data.train.of_class(label) for label in range(problem.num_classes))
    places = [each.roll(-skipped)[: problem.count] for each in members]
    return Start(problem.data.train.read(torch.cat(places)))


def real_distilled(problem: Problem) -> Distilled:
    return Distilled.of(real_start(problem).images, problem.targets(), Cost())


def with_another(component: Kind, option: str) -> Kind | None:
    """The component with another value of an option, where one can be thought of."""
    value, kind = getattr(component, option), type(component).model_fields[option].annotation
    others: list[Any] = []
    if get_origin(kind) is Literal and option != "name":
        others = [each for each in get_args(kind) if each != value]
    elif isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int | float):
        others = [value + 1, value / 2]
    given = {each: getattr(component, each) for each in type(component).model_fields}
    for other in others:
        try:
            return type(component)(**{**given, option: other})
        except ValueError:
            continue
    return None


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class OneHot(Relabeler):
    """The class: the plainest labels there are."""

    asks: ClassVar[Literal["class", "image", "view"]] = "class"
