"""``--dry-run``: the steps of a run, which are kept, the exact cost, and an estimate of time and bytes; nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.prepared import Passes
from delt_host.networks.build import Builder, build_model
from delt_host.recovery.cost import median_seconds
from delt_host.stages.step import Step
from delt_host.stages.story import Comparison
from delt_host.store.entry import Name

PROBE_BATCH, TIMED_PASSES = 50, 5  # images in the timed passes, and how often each is timed
UNITS = {"pixels": "image-its", "forward": "images", "training": "images"}


@dataclass(frozen=True)
class Upcoming:
    """Steps of one stage that are for the same thing, over all seeds."""

    stage: str
    what: str
    steps: int
    kept: int
    """How many of them are in the store."""
    shared: int
    """How many are those of a line before."""
    known: bool
    """False where what they are kept under depends on a teacher that is not there yet."""
    work: str
    """Of all of them."""
    seconds: float
    """For those that are not kept."""
    bytes: int

    @property
    def done(self) -> bool:
        return self.kept + self.shared == self.steps

    @property
    def state(self) -> str:
        """`kept`, `missing`, `2 of 3 kept`, `unknown`, or `shared` with a line before."""
        if self.done:
            return "kept" if self.kept else "shared"
        if not self.known:
            return "unknown"
        return f"{self.kept} of {self.steps} kept" if self.kept else "missing"


@dataclass(frozen=True)
class Speed:
    """Seconds an image for passes of one network, timed on this machine just now."""

    forward: float
    pixels: float
    """Forward, and backward to the pixels: one image-iteration of recovery."""
    training: float


State = Literal["kept", "shared", "missing"]
Timing = Callable[[str, RealData, Compute, dict[str, Builder]], Speed]


def plan_runs(comparisons: Mapping[str, Comparison]) -> list[Upcoming]:
    """The same for several runs, by the names that stand before their steps: what two share is counted in the first alone."""
    made: set[Name] = set()
    return [
        replace(line, what=f"{name}: {line.what}".removeprefix(": "))
        for name, comparison in comparisons.items()
        for line in plan_run(comparison, made=made)
    ]


def plan_run(comparison: Comparison, timed: Timing | None = None, made: set[Name] | None = None) -> list[Upcoming]:
    """Every step of the run, in order; networks' passes are timed by `timed`, those of missing steps alone.

    `made`: what other runs will have made before, to which this one's are added.
    """
    experiment, problem = comparison.experiment, comparison.problem
    timed, made = timed or time_passes, set() if made is None else made
    speeds: dict[str, Speed] = {}

    def seconds(passes: Passes) -> float:
        if passes.network not in speeds:
            speeds[passes.network] = timed(passes.network, problem.data, experiment.compute, problem.models)
        return passes.images * float(getattr(speeds[passes.network], passes.way))

    grouped: dict[tuple[str, str], list[tuple[Step, State]]] = {}
    for step in comparison.steps():
        if step.unit:
            state: State = "kept" if step.kept else "shared" if step.name in made else "missing"
            grouped.setdefault((step.stage, step.line), []).append((step, state))
        made.add(step.name)
    return [_line(steps, seconds) for steps in grouped.values()]


def _line(steps: Sequence[tuple[Step, State]], seconds: Callable[[Passes], float]) -> Upcoming:
    states, missing = Counter(state for _, state in steps), [step for step, state in steps if state == "missing"]
    return Upcoming(
        stage=steps[0][0].stage,
        what=steps[0][0].line,
        steps=len(steps),
        kept=states["kept"],
        shared=states["shared"],
        known=all(step.known for step in missing),
        work=_work(step for step, _ in steps),
        seconds=sum(seconds(passes) for step in missing for passes in step.cost),
        bytes=sum(step.size_bytes() for step, state in steps if state != "shared"),
    )


def _work(steps: Iterable[Step]) -> str:
    """The heaviest kind of passes: `12,000 image-its`."""
    totals: dict[str, float] = {}
    for step in steps:
        for passes in step.cost:
            totals[passes.way] = totals.get(passes.way, 0.0) + passes.images
    way = next((way for way in ("pixels", "training", "forward") if totals.get(way)), None)
    return f"{round(totals[way]):,} {UNITS[way]}" if way else ""


def time_passes(
    model: str,
    data: RealData,
    compute: Compute,
    models: dict[str, Builder],
    batch: int = PROBE_BATCH,
    repeats: int = TIMED_PASSES,
) -> Speed:
    """Time a few passes of a freshly initialised network on a batch of blank images."""
    with isolated_rng(0, "probe"):
        network = compute.place(build_model(model, data.num_classes, data.image_size, models)).train()
    images = torch.zeros(batch, 3, data.image_size, data.image_size, device=compute.device)
    images = images.contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad(), compute.autocast():
            network(images)

    def training() -> None:
        with compute.autocast():
            network(images).float().square().mean().backward()

    def pixels() -> None:
        leaf = images.detach().requires_grad_(True)
        with compute.autocast():
            loss = network(leaf).float().square().mean()
        torch.autograd.grad(loss, leaf)

    trained = median_seconds(training, repeats)
    network.eval().requires_grad_(False)
    seconds = median_seconds(forward, repeats), median_seconds(pixels, repeats), trained
    return Speed(*(each / batch for each in seconds))
