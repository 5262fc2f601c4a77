"""Recover: each stack of the plan's groups is a step of its own, which machines can share; then what it cost is counted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from delt_host.cost import multiply_adds, passes_of, peak_memory
from delt_host.experiment import Named
from delt_host.identity import network_identity
from delt_host.latents import stacked
from delt_host.recover import recover_stack, stacks
from delt_host.resume import Checkpoint
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step


def recover(course: Course) -> Iterator[Step]:
    """A step for each stack, and one that counts; none where nothing is optimised."""
    named, problem, plan = course.row.matcher, course.problem, course.plan
    if not course.optimises or named is None:
        return
    prepared = preparations(course, "matcher", named)
    yield from prepared
    seen = problem.seen_by(named.component)
    (start,) = course["initialize"]
    # What recovered pixels depend on, before they are assembled; the start's key brings data and precision.
    of = course.host.store.key(
        "recover",
        {
            "code": course.host.code_of(recover_stack),
            "start": start.key,
            "teachers": seen.inputs()["teachers"],
            "plan": plan.model_dump(mode="json", exclude={"residual"}),
            "matcher": course.host.identity("matcher", named),
            "networks": [network_identity(name, seen.models) for name in named.component.networks.architectures(seen)],
            "form": course.host.identity("form", course.row.form),
            "seed": problem.seed,
        },
    )
    needs = (start, *prepared)
    for stack in stacks(plan, named.component, problem.compute, problem.image_size, problem.form.cells):
        groups = [plan.groups[group] for group in stack]
        with course.host.running("matcher", named):
            cost = passes_of(seen, groups, named.component)
        yield course.step(
            "recover",
            {"of": of, "groups": stack},
            partial(_make, course, named, stack),
            needs=needs,
            total=sum(group.image_iterations for group in groups),
            unit="image-iterations",
            cost=cost,
            like=named.name,
            size_bytes=partial(_size, course, stack),
            travels=True,
        )
    yield course.step(
        "count", {"of": of, "code": course.host.code_of(multiply_adds)}, partial(_count, course, named), needs=needs
    )


def _size(course: Course, stack: tuple[int, ...]) -> int:
    return 3 * course.problem.image_size**2 * sum(len(course.plan.groups[group].images) for group in stack)


def _make(course: Course, named: Named[Any], stack: tuple[int, ...], checkpoint: Checkpoint) -> Made:
    problem = course.problem.seen_by(named.component)
    start = course.begun(stack)
    with peak_memory(problem.compute.device) as peak, course.host.running("matcher", named):
        advance = course.host.observer.advance
        results = recover_stack(problem, start, course.plan, stack, named.component, advance, checkpoint)
    recovered = stacked([result.latents for result in results])
    return recovered, {"curves": [result.curves for result in results], "peak_bytes": peak.size_bytes}


def _count(course: Course, named: Named[Any], _checkpoint: Checkpoint) -> Made:
    problem = course.problem.seen_by(named.component)
    start = course.begun((0,))
    with course.host.running("matcher", named):
        return {}, {"multiply_adds": multiply_adds(problem, start, course.plan, named.component)}
