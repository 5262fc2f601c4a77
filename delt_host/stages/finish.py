"""Finish: what was recovered, packed by the row's form into the entry that everybody reads the set from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from delt_host.components import Cost
from delt_host.errors import RunError
from delt_host.history import LossCurve, averaged
from delt_host.latents import Latents, unstacked, with_learned
from delt_host.recover import assemble
from delt_host.resume import Checkpoint
from delt_host.sets import READ_AT_ONCE, check_packed, fingerprint_of, packed_bytes
from delt_host.stages.course import Course
from delt_host.stages.step import Made, Step, done


def finish(course: Course) -> Iterator[Step]:
    """One step, or none where the set is there already."""
    if not course.distils:
        return
    (start,) = course["initialize"]
    recovered = course["recover"]
    inputs = {
        "code": course.host.code_of(Latents, assemble, fingerprint_of),
        # Which groups went through one pass together decides how sums were rounded.
        "of": [step.key for step in recovered] or [start.key],
        # Rows that differ in the residual alone share what was recovered.
        "residual": course.plan.residual if recovered else 0.0,
        "form": course.host.identity("form", course.row.form),
    }
    needs = (start, *recovered, *course["count"])
    yield course.step("finish", inputs, partial(_make, course), needs=needs, travels=bool(recovered))


def _make(course: Course, _checkpoint: Checkpoint) -> Made:
    problem, form = course.problem, course.problem.form
    packed, learned = dict[str, Tensor](), dict[str, Tensor]()
    for units, latents in _recovered(course):
        of_units = {"labels": latents.labels} if latents.labels is not None else {}
        with course.host.running("form", course.row.form):
            _put(packed, form.pack(latents.images, problem.normalization), units, problem.num_units)
        _put(learned, of_units, units, problem.num_units)
        if latents.learning_rate is not None:  # the first is that of what was recovered
            learned.setdefault("learning_rate", latents.learning_rate)
    with course.host.running("form", course.row.form):
        check_packed(form, packed, problem.num_units, problem.image_size)
    cost, curves = _cost(course)
    return {**packed, **learned}, {
        "fingerprint": fingerprint_of(form, packed, problem.targets(), learned),
        "size_bytes": packed_bytes(packed),
        "cost": asdict(cost),
        "curves": [curve.model_dump() for curve in curves],
    }


def _recovered(course: Course) -> Iterator[tuple[Tensor, Latents]]:
    """What was optimised, a stack of groups at a time, and the starts of units in no group: each with the units' places."""
    left = torch.ones(course.problem.num_units, dtype=torch.bool)
    for step in course["recover"]:
        stack = step.inputs["groups"]
        start = course.begun(stack)
        assert start.units is not None
        left[start.units] = False
        yield start.units, assemble(start, course.plan, stack, unstacked(done(step, course.host).tensors))
    for units in left.nonzero().flatten().split(READ_AT_ONCE):
        if len(units):
            with course.host.running("form", course.row.form):
                rest = Latents.of(course.problem, course.start, units)
            yield units, with_learned(rest, course.plan, course.problem.num_classes)


def _put(into: dict[str, Tensor], some: Mapping[str, Tensor], units: Tensor, count: int) -> None:
    """The tensors of some units into those of all `count`."""
    for name, tensor in some.items():
        if tensor.ndim < 1 or len(tensor) != len(units):
            raise RunError(f"{name} of {len(units)} units has the shape {tuple(tensor.shape)}")
        if name not in into:
            into[name] = tensor.new_empty(count, *tensor.shape[1:])
        into[name][units] = tensor


def _cost(course: Course) -> tuple[Cost, tuple[LossCurve, ...]]:
    """What recovery took, and how the losses fell."""
    facts = [done(step, course.host).facts for step in course["recover"]]
    if not facts:
        return Cost(), ()
    (count,) = course["count"]
    counted = done(count, course.host).facts["multiply_adds"]
    seconds, peak = sum(each["seconds"] for each in facts), max(each["peak_bytes"] for each in facts)
    return Cost(course.plan.image_iterations, counted, seconds, peak), averaged(
        [curve for each in facts for curve in each["curves"]]
    )
