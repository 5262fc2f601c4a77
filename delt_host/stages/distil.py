"""Distil: the images that recovery starts from, recovery itself, and the set, which lies in the entries that its units were
packed into. A row whose set is there already does none of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from delt_host.basics.errors import RunError
from delt_host.contracts.identity import network_identity
from delt_host.contracts.initializer import Initializer, Start
from delt_host.contracts.packed import Packed
from delt_host.contracts.prepared import Passes
from delt_host.contracts.problem import Problem
from delt_host.contracts.sets import Cost, fingerprint_of
from delt_host.recovery.cost import multiply_adds, passes_of, peak_memory
from delt_host.recovery.history import LossCurve, averaged
from delt_host.recovery.latents import Latents, with_learned
from delt_host.recovery.loop import assemble, recover_stack, stacks
from delt_host.stages.course import Course
from delt_host.stages.prepare import preparations
from delt_host.stages.step import Made, Step
from delt_host.store.resume import Checkpoint

AT_ONCE = 2**26
"""Bytes of float32 images that an initializer is asked for at once, where a class has no more."""
FAR = 100.0
"""What no normalised pixel is, and many a one of 0 to 255 is."""


def initialize(course: Course) -> Iterator[Step]:
    """A step for each block of whole classes, after what the initializer prepares: no step holds the whole set."""
    if not course.distils:
        return
    problem, named, host = course.problem, course.row.initializer, course.host
    prepared = preparations(course, "initializer", named)
    yield from prepared
    seen, passes = problem.seen_by(named.component), 0.0
    if type(named.component).passes is not Initializer.passes:
        with host.running("initializer", named):
            passes = named.component.passes(seen)
    inputs = {
        "code": host.code_of(Problem),
        **seen.inputs(),
        "ipc": problem.ipc,
        "form": host.identity("form", course.row.form),
        "seed": problem.seed,
        "component": host.identity("initializer", named),
    }

    def make(classes: range, _checkpoint: Checkpoint) -> Made:
        with host.running("initializer", named):
            start = named.component.initialize(problem.seen_by(named.component), classes)
            check_start(start, problem, len(classes))
        made = {"images": start.images, "labels": start.labels, "learning_rate": start.learning_rate}
        return {name: each for name, each in made.items() if each is not None}, {}

    def size_bytes(classes: int) -> int:
        return classes * problem.count * 3 * problem.image_size**2 * named.component.dtype.itemsize

    for classes in blocks(problem):
        share = passes * len(classes) / problem.num_classes
        yield course.step(
            "initialize",
            {**inputs, "classes": [classes.start, classes.stop]},
            partial(make, classes),
            needs=prepared,
            total=problem.count * len(classes),
            unit="images",
            cost=(Passes(seen.teacher.architecture, "forward", share),) if share else (),
            like=named.name,
            size_bytes=partial(size_bytes, len(classes)),
        )


def blocks(problem: Problem) -> list[range]:
    """All classes, in blocks whose images take little memory; at least one class each."""
    each = max(AT_ONCE // (problem.count * 3 * problem.image_size**2 * torch.float32.itemsize), 1)
    return [range(first, min(first + each, problem.num_classes)) for first in range(0, problem.num_classes, each)]


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


def recover(course: Course) -> Iterator[Step]:
    """A step for each stack of the plan's groups, which machines can share, and one that counts what it cost; none where
    nothing is optimised."""
    named, problem, plan, host = course.row.matcher, course.problem, course.plan, course.host
    if not course.distils or named is None or not plan.groups:
        return
    matcher = named.component
    prepared = preparations(course, "matcher", named)
    yield from prepared
    seen = problem.seen_by(matcher)
    # What a group becomes; the starts' keys bring data and precision.
    of = host.store.key(
        "recover",
        {
            "code": host.code_of(recover_stack, Latents, assemble),
            "teachers": seen.inputs()["teachers"],
            "plan": plan.model_dump(mode="json"),
            "matcher": host.identity("matcher", named),
            "networks": [network_identity(name, seen.models) for name in matcher.networks.architectures(seen)],
            "form": host.identity("form", course.row.form),
            "seed": problem.seed,
        },
    )

    def make(stack: tuple[int, ...], checkpoint: Checkpoint) -> Made:
        start, shown = course.begun(stack), problem.seen_by(matcher)
        with peak_memory(problem.compute.device) as peak, host.running("matcher", named):
            results = recover_stack(shown, start, plan, stack, matcher, host.observer.advance, checkpoint)
        packed = course.packed(assemble(start, plan, stack, [result.latents for result in results]))
        return packed, {"curves": [result.curves for result in results], "peak_bytes": peak.size_bytes}

    def count(_checkpoint: Checkpoint) -> Made:
        start, shown = course.begun((0,)), problem.seen_by(matcher)
        with host.running("matcher", named):
            return {}, {"multiply_adds": multiply_adds(shown, start, plan, matcher)}

    for stack in stacks(plan, matcher, problem.compute, problem.image_size, problem.form.cells):
        groups, units = [plan.groups[group] for group in stack], course.units_of(stack)
        starts = course.blocks_of(units)
        with host.running("matcher", named):
            cost = passes_of(seen, groups, matcher)
        yield course.step(
            "recover",
            {"of": of, "groups": stack, "starts": [step.key for step in starts]},
            partial(make, stack),
            needs=(*starts, *prepared),
            total=sum(group.image_iterations for group in groups),
            unit="image-iterations",
            cost=cost,
            like=named.name,
            size_bytes=partial(course.size_of, len(units)),
            travels=True,
        )
    starts = course.blocks_of(course.units_of((0,)))
    told = {"of": of, "starts": [step.key for step in starts], "code": host.code_of(multiply_adds)}
    yield course.step("count", told, count, needs=(*starts, *prepared))


def pack(course: Course) -> Iterator[Step]:
    """A step for each block of classes that has units in no group of the plan: they are kept as they start."""
    if not course.distils:
        return
    host, problem, left = course.host, course.problem, course.left
    plan = course.plan.model_dump(mode="json") if course.plan.groups else None

    def make(units: Tensor, _checkpoint: Checkpoint) -> Made:
        start = course.start(units)
        with host.running("form", course.row.form):
            latents = Latents.of(problem, start, units)
        return course.packed(with_learned(latents, course.plan, problem.num_classes)), {}

    for step in course["initialize"]:
        first, stop = (label * problem.units for label in step.inputs["classes"])
        units = left[(left >= first) & (left < stop)]
        inputs = {
            "code": host.code_of(Latents, with_learned),
            "starts": step.key,
            "units": units.tolist(),
            "plan": plan,
            "form": host.identity("form", course.row.form),
        }
        if len(units):
            yield course.step(
                "pack",
                inputs,
                partial(make, units),
                needs=(step,),
                total=len(units),
                unit="units",
                like=course.row.form.name,
                size_bytes=partial(course.size_of, len(units)),
            )


def finish(course: Course) -> Iterator[Step]:
    """One step: what the set is known by, and what it took to make it."""
    if not course.distils:
        return

    def make(_checkpoint: Checkpoint) -> Made:
        form, packed = course.problem.form, Packed(course.pieces)
        cost, curves = _cost(course)
        return {}, {
            "fingerprint": fingerprint_of(form, packed, course.problem.targets(), course.learned),
            "cost": asdict(cost),
            "curves": [curve.model_dump() for curve in curves],
        }

    inputs = {
        "code": course.host.code_of(Packed, fingerprint_of),
        # Which groups went through one pass together decides how sums were rounded.
        "of": [step.key for step in course.packing],
    }
    needs = (*course.packing, *course["count"])
    yield course.step("finish", inputs, make, needs=needs, travels=bool(course["recover"]))


def _cost(course: Course) -> tuple[Cost, tuple[LossCurve, ...]]:
    """What recovery took, and how the losses fell."""
    facts = [step.entry().facts for step in course["recover"]]
    if not facts:
        return Cost(), ()
    (count,) = course["count"]
    seconds, peak = sum(each["seconds"] for each in facts), max(each["peak_bytes"] for each in facts)
    cost = Cost(course.plan.image_iterations, count.entry().facts["multiply_adds"], seconds, peak)
    return cost, averaged([curve for each in facts for curve in each["curves"]])
