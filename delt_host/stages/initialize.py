"""Initialize: the images that recovery starts from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from delt_host.components import Initializer, Start
from delt_host.errors import RunError
from delt_host.prepared import Passes
from delt_host.problem import Problem
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step

FAR = 100.0
"""What no normalised pixel is, and many a one of 0 to 255 is."""


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
        "form": course.host.identity("form", course.row.form),
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
        start = named.component.initialize(problem.seen_by(named.component), range(problem.num_classes))
        check_start(start, problem, problem.num_classes)
    learned = {"labels": start.labels, "learning_rate": start.learning_rate}
    return {"images": start.images} | {name: each for name, each in learned.items() if each is not None}, {}


def check_start(start: object, problem: Problem, classes: int) -> None:
    """RunError unless it is what was asked for, for so many classes."""
    if not isinstance(start, Start):
        raise RunError(f"it gave a {type(start).__name__}; return a Start, of images, uint8 or normalised float32")
    if not isinstance(start.images, Tensor):
        raise RunError(f"it gave images as a {type(start.images).__name__}, not a tensor")
    images, count = start.images, classes * problem.count
    wanted = (count, 3, problem.image_size, problem.image_size)
    if tuple(images.shape) != wanted:
        raise RunError(
            f"it gave images of shape {tuple(images.shape)}, not {wanted}: {problem.count} of each class, class by class"
        )
    if images.dtype not in (torch.uint8, torch.float32):
        raise RunError(f"it gave images of {images.dtype}; give uint8, or float32 normalised")
    if images.is_floating_point() and not bool(torch.isfinite(images).all()):
        raise RunError("it gave pixels that are not finite")
    if images.is_floating_point() and (far := float(images.abs().max()) if images.numel() else 0.0) > FAR:
        raise RunError(f"it gave pixels of up to {far:.0f}; give uint8, or float32 normalised by problem.normalization")
    _check_learned("labels", start.labels, (classes * problem.units, problem.num_classes))
    _check_learned("a learning rate", start.learning_rate, ())


def _check_learned(what: str, given: Tensor | None, shape: tuple[int, ...]) -> None:
    if given is None:
        return
    if tuple(given.shape) != shape or given.dtype != torch.float32:
        raise RunError(f"it gave {what} as {given.dtype} {tuple(given.shape)}, not float32 {shape}")
    if not bool(torch.isfinite(given).all()):
        raise RunError(f"it gave {what} not finite in all places")
