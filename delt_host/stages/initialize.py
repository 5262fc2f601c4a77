"""Initialize: the images that recovery starts from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from delt_host.components import ImageSet, Initializer
from delt_host.errors import RunError
from delt_host.prepared import Passes
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step


def initialize(course: Course) -> Iterator[Step]:
    """One step after what it prepares, or none where the set is there already."""
    if not course.distils:
        return
    problem, named = course.problem, course.row.initializer
    prepared = preparations(course, "initializer", named)
    yield from prepared
    seen = problem.seen_by(named.component)
    inputs = {
        "code": course.host.code_of(Problem),
        **seen.inputs(),
        "ipc": problem.ipc,
        "seed": problem.seed,
        "component": course.host.identity("initializer", named),
    }
    passes = 0.0
    if type(named.component).passes is not Initializer.passes:
        with course.host.running("initializer", named):
            passes = named.component.passes(seen)
    yield course.step(
        "initialize",
        inputs,
        partial(_make, course),
        needs=prepared,
        total=problem.num_images,
        unit="images",
        cost=(Passes(seen.teacher.architecture, "forward", passes),) if passes else (),
        like=named.name,
    )


def _make(course: Course, _checkpoint: Checkpoint) -> Made:
    named, problem = course.row.initializer, course.problem
    with course.host.running("initializer", named):
        start = named.component.initialize(problem.seen_by(named.component))
        _check_images(start, problem)
    return {"images": start.images, "targets": start.targets}, {}


def _check_images(start: ImageSet, problem: Problem) -> None:
    wanted = (problem.num_images, 3, problem.image_size, problem.image_size)
    if tuple(start.images.shape) != wanted:
        raise RunError(f"it gave images of shape {tuple(start.images.shape)}, not {wanted}")
    if not torch.equal(start.targets, problem.targets()):
        raise RunError(f"it must give {problem.ipc} images of every class, in class order")
    if not bool(torch.isfinite(start.images).all()):
        raise RunError("it gave pixels that are not finite")
