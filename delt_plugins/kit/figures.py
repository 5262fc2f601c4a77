"""What is seen of a thing of each kind when it is tried: a function a kind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor

from delt_host import (
    Builder,
    Curve,
    Dataset,
    Evaluator,
    Group,
    Initializer,
    Labels,
    Matcher,
    MemorySplit,
    Method,
    Phase,
    Plan,
    Problem,
    Protocol,
    Relabeler,
    RunError,
    Scheduler,
)
from delt_host.toolbox import build_model, isolated_rng
from delt_host.workshop import (
    Comparison,
    Latents,
    Packed,
    Row,
    check_start,
    median_seconds,
    peak_memory,
    recover_group,
    size,
)
from delt_plugins.kit import evaluator as of_evaluators
from delt_plugins.kit.small import real_distilled, views_of

ITERATIONS = 20
BATCH = 64
"""Images in the pass through a network that is timed."""
EACH = 8
"""Images of a class that are shown of a dataset."""


@dataclass
class Seen:
    figures: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    images: MemorySplit | None = None


def of_matcher(matcher: Matcher, problem: Problem, row: Row, comparison: Comparison) -> Seen:
    """Twenty iterations on all images at once, from the row's start."""
    start = _start(row.initializer.component, problem)
    seen = problem.seen_by(matcher)
    terms, norms = _first(matcher, seen, start)
    with peak_memory(problem.compute.device) as peak:
        took, curves, after = _recovered(matcher, seen, start)
    with_other, other = _beside(problem, start, comparison)
    losses = [
        sum(values) for values in zip(*(curve for name, curve in curves.items() if name != "iteration"), strict=True)
    ]
    figures = {"terms": terms, "gradient": norms, "seconds": took, "seconds of batch-norm": with_other}
    figures |= {"peak_bytes": peak.size_bytes, "loss": losses}
    lines = [
        f"first terms: {_table(terms)}",
        f"gradient to the images, by term: {_table(norms)}",
        f"an iteration on {problem.num_images} images of {problem.image_size} px: {_seconds(took)}, {other}",
        f"memory at most: {_memory(peak.size_bytes, problem.compute.device)}",
        f"loss over {ITERATIONS} iterations: {' '.join(f'{loss:.3g}' for loss in losses)}",
    ]
    return Seen(figures, lines, _before_and_after(problem, start, after))


def of_initializer(initializer: Initializer, problem: Problem, _row: Row, _comparison: Comparison) -> Seen:
    began = time.perf_counter()
    start = _start(initializer, problem)
    took = time.perf_counter() - began
    images = _read(problem, start.images)
    lines = [f"{problem.num_images} images of {problem.image_size} px in {_seconds(took)}"]
    return Seen({"seconds": took, "images": problem.num_images}, lines, MemorySplit(images, problem.targets()))


def of_scheduler(scheduler: Scheduler, problem: Problem, _row: Row, comparison: Comparison) -> Seen:
    plan = scheduler.plan(problem.seen_by(scheduler))
    phases = [(group, phase) for group in plan.groups for phase in group.phases]
    lines = [f"groups: {len(plan.groups)}, phases: {len(phases)}, image-iterations: {plan.image_iterations:,}"]
    table, begun = list[dict[str, Any]](), 0
    for nth, phase in enumerate(plan.groups[0].phases if plan.groups else (), 1):
        ends = begun, begun + phase.iterations - 1
        rates = {what: [curve.at(each) for each in ends] for what, curve in phase.rates.items()}
        crops = [phase.min_crop.at(each) for each in ends]
        table.append({"active": phase.active, "iterations": phase.iterations, "rates": rates, "min_crop": crops})
        at = ", ".join(f"{what} at {first:.3g} to {last:.3g}" for what, (first, last) in rates.items())
        lines.append(
            f"  phase {nth} of the first group: {phase.iterations:,} iterations of {phase.active} units, {at}, "
            f"crops from {crops[0]:.3g} to {crops[1]:.3g} of the area up"
        )
        begun += phase.iterations
    return Seen({"groups": len(plan.groups), "image_iterations": plan.image_iterations, "phases": table}, lines)


def of_method(method: Method, problem: Problem, row: Row, comparison: Comparison) -> Seen:
    """As its matcher, and its plan; of one that optimises nothing, its images."""
    lines = [f"{stage}: {named.name}" for stage, named in row.stages().items()]
    if row.matcher is None or row.scheduler is None:
        seen = of_initializer(row.initializer.component, problem, row, comparison)
    else:
        seen = of_matcher(row.matcher.component, problem, row, comparison)
        plan = of_scheduler(row.scheduler.component, problem, row, comparison)
        seen = Seen({**seen.figures, "plan": plan.figures}, [*plan.lines, *seen.lines], seen.images)
    return Seen(seen.figures, [", ".join(lines), *seen.lines], seen.images)


def of_relabeler(relabeler: Relabeler, problem: Problem, _row: Row, _comparison: Comparison) -> Seen:
    """Its answers of one epoch for real images of every class."""
    labels = Labels(problem.under(Protocol(epochs=1)), real_distilled(problem), relabeler)
    began = time.perf_counter()
    labels.prepare()
    batches = list(labels.epoch(0))
    took = time.perf_counter() - began
    answers = [batch for batch in batches if batch.answers is not None]
    right = [batch.answers.argmax(1) == batch.classes for batch in answers if batch.answers is not None]
    agrees = float(torch.cat(right).float().mean()) if right else float("nan")
    lines = [
        f"asks for each {relabeler.asks}, gives {relabeler.kind}; {size(labels.size_bytes)} of labels for "
        f"{problem.num_images} images and an epoch, in {_seconds(took)}",
        f"its likeliest class is that of the image for {100 * agrees:.0f} % of the views",
    ]
    return Seen({"seconds": took, "label_bytes": labels.size_bytes, "agrees": agrees}, lines)


def of_evaluator(evaluator: Evaluator, problem: Problem, _row: Row, _comparison: Comparison) -> Seen:
    """Its scores for as many real images as a set has, students trained for three epochs."""
    if evaluator.per == "table":
        return Seen(lines=["works its scores out of those of others, which a run has"])
    began = time.perf_counter()
    scores = of_evaluators.results(evaluator, problem.under(Protocol(epochs=3)))["scores"]
    took = time.perf_counter() - began
    return Seen({"scores": scores, "seconds": took}, [f"scores of real images: {_table(scores)}, in {_seconds(took)}"])


def of_model(builder: Builder, problem: Problem, _row: Row, _comparison: Comparison) -> Seen:
    with isolated_rng(0, "tried"):
        network = build_model("it", problem.num_classes, problem.image_size, {"it": builder})
    network = problem.compute.place(network).train()
    images = problem.normalization.normalize(problem.data.train.read(torch.arange(BATCH) % len(problem.data.train)))
    images, shape = images.to(problem.compute.device), list[int]()

    def work() -> None:
        with isolated_rng(0, "tried"), problem.compute.autocast():
            logits = network(images)
        shape[:] = logits.shape
        logits.float().square().mean().backward()

    took, count = median_seconds(work, 3), sum(each.numel() for each in network.parameters())
    lines = [
        f"{count:,} parameters; {BATCH} images of {problem.image_size} px to {tuple(shape)}",
        f"a training pass of them, forward and backward: {_seconds(took)}",
    ]
    return Seen({"parameters": count, "output": list(shape), "seconds": took}, lines)


def of_dataset(_dataset: Dataset, problem: Problem, _row: Row, _comparison: Comparison) -> Seen:
    data = problem.data
    counts = {
        which: torch.bincount(split.targets, minlength=data.num_classes) for which, split in _splits(problem).items()
    }
    said = [
        f"{which}: {int(each.sum()):,} images, {int(each.min())} to {int(each.max())} a class"
        for which, each in counts.items()
    ]
    some = torch.cat([data.train.of_class(label)[:EACH] for label in range(data.num_classes)])
    images = MemorySplit(data.train.read(some), data.train.targets[some])
    names = ", ".join(data.class_names[:10]) + (", …" if data.num_classes > 10 else "")
    lines = [f"{data.num_classes} classes of {data.image_size} px images: {names}", *said]
    figures = {"classes": list(data.class_names), **{which: each.tolist() for which, each in counts.items()}}
    return Seen(figures, lines, images)


OF: dict[str, Callable[..., Seen]] = {
    "matcher": of_matcher,
    "initializer": of_initializer,
    "scheduler": of_scheduler,
    "method": of_method,
    "relabeler": of_relabeler,
    "evaluator": of_evaluator,
    "model": of_model,
    "dataset": of_dataset,
}
"""Kinds of which more is seen than what the conformance kit says."""
WITH_TEACHER = ("matcher", "initializer", "method", "relabeler", "evaluator")


def _splits(problem: Problem) -> dict[str, Any]:
    return {"train": problem.data.train, "test": problem.data.test}


def _start(initializer: Initializer, problem: Problem) -> Any:
    start = initializer.initialize(problem.seen_by(initializer), range(problem.num_classes))
    check_start(start, problem, problem.num_classes)
    return start


def _first(matcher: Matcher, problem: Problem, start: Any) -> tuple[dict[str, float], dict[str, float]]:
    """The first terms on the images as they start, and the length of each one's gradient to these."""
    latents = Latents.of(problem, start)
    device, targets = problem.compute.device, problem.targets().to(problem.compute.device)
    images = problem.form.decode(latents.images).detach().to(device).requires_grad_(True)
    network = matcher.networks.bind(problem, 0).at(0, lambda: (images.detach(), targets))
    terms = matcher.bind(problem)(views_of(problem, images, targets, network=network))
    norms = {}
    for name, term in terms.items():
        reached = (
            torch.autograd.grad(term.sum(), images, retain_graph=True, allow_unused=True)
            if term.requires_grad
            else (None,)
        )
        norms[name] = 0.0 if reached[0] is None else float(reached[0].norm())
    return {name: float(term.detach().sum()) for name, term in terms.items()}, norms


def _recovered(
    matcher: Matcher, problem: Problem, start: Any
) -> tuple[float, dict[str, list[float]], Mapping[str, Tensor]]:
    """Seconds an iteration, the terms of each, and the latents of all units in their order, after twenty."""
    every = tuple(range(problem.num_units))
    rates, crop = {"images": Curve.constant(0.1)}, Curve.constant(0.5)
    phase = Phase(active=len(every), iterations=ITERATIONS, rates=rates, min_crop=crop)
    moments: list[float] = []
    plan = Plan(groups=(Group(images=every, phases=(phase,)),))
    found = recover_group(
        problem, Latents.of(problem, start), plan, 0, matcher, lambda _done, _terms: moments.append(time.perf_counter())
    )
    took = median(later - sooner for sooner, later in pairwise(moments))
    return took, found.curves, found.latents.images


def _beside(problem: Problem, start: Any, comparison: Comparison) -> tuple[float | None, str]:
    """The same with SRe2L's matcher, which most others are compared with."""
    other: Matcher = comparison.host.registry.get("matcher", "batch-norm")()
    try:
        took, _, _ = _recovered(other, problem.seen_by(other), start)
    except RunError:  # this teacher has no BatchNorm layers
        return None, "and this teacher is none for batch-norm's"
    return took, f"and {_seconds(took)} with batch-norm"


def _before_and_after(problem: Problem, start: Any, after: Mapping[str, Tensor]) -> MemorySplit:
    before = _read(problem, start.images)
    every = torch.arange(problem.num_images)
    made = Packed.of(problem.form.pack(after, problem.normalization)).images(problem.form, every)
    return MemorySplit(torch.cat([before, made]), problem.targets().repeat(2))


def _read(problem: Problem, images: Tensor) -> Tensor:
    """As uint8."""
    return images if images.dtype == torch.uint8 else problem.normalization.denormalize(images)


def _memory(size_bytes: float, device: str) -> str:
    if math.isnan(size_bytes):
        return "this system does not tell"
    return size(size_bytes) + (", of the whole process" if device == "cpu" else "")


def _table(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _seconds(value: float) -> str:
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.1f} s"
