"""Finish: what was recovered, packed by the row's form into the entry that everybody reads the set from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from delt_host.components import Cost
from delt_host.history import LossCurve, averaged
from delt_host.latents import Latents, unstacked
from delt_host.recover import assemble
from delt_host.resume import Checkpoint
from delt_host.sets import LEARNED, check_packed, fingerprint_of, packed_bytes
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
    latents, cost, curves = _recovered(course)
    with course.host.running("form", course.row.form):
        packed = {name: each.contiguous() for name, each in form.pack(latents.images, problem.normalization).items()}
        check_packed(form, packed, problem.num_units, problem.image_size)
    learned = {name: each for name in LEARNED if (each := getattr(latents, name)) is not None}
    return {**packed, **learned}, {
        "fingerprint": fingerprint_of(form, packed, problem.targets()),
        "size_bytes": packed_bytes(packed),
        "cost": asdict(cost),
        "curves": [curve.model_dump() for curve in curves],
    }


def _recovered(course: Course) -> tuple[Latents, Cost, tuple[LossCurve, ...]]:
    """What was optimised, or the start, what that took, and how the losses fell."""
    start = Latents.of(course.problem, course.start)
    if not course.optimises:
        return start, Cost(), ()
    groups: list[Latents] = []
    seconds, peaks, curves = 0.0, [], list[Mapping[str, Any]]()
    for step in course["recover"]:
        entry = done(step, course.host)
        groups += unstacked(entry.tensors)
        seconds += entry.facts["seconds"]
        peaks.append(entry.facts["peak_bytes"])
        curves += entry.facts["curves"]
    (count,) = course["count"]
    counted = done(count, course.host).facts["multiply_adds"]
    cost = Cost(course.plan.image_iterations, counted, seconds, max(peaks))
    return assemble(start, course.plan, groups), cost, averaged(curves)
