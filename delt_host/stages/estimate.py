"""``--dry-run``: the steps of a run, which are kept, the exact cost, and an estimate of time and bytes; nothing is run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from delt_host.contracts.prepared import Passes
from delt_host.experiment.experiment import Experiment
from delt_host.stages import footprint
from delt_host.stages.step import Step
from delt_host.stages.stopwatch import Speed, Stopwatch
from delt_host.stages.story import Comparison
from delt_host.store.entry import Name

ENTRY = 2048
"""Bytes of an entry beside its tensors, about: what it is of, its facts, the folder that it lies in."""
LONG = 3600.0  # s, from which on it is said what would shorten a run
SHORTER = {
    "squeeze": ("fewer --set teacher.epochs=…", "a smaller --teacher"),
    "recover": ("fewer --set scheduler.iterations=…",),
    "relabel": ("fewer --set protocol.epochs=…",),
    "evaluate": ("fewer --set protocol.epochs=…", "a smaller --student"),
}
PICTURE = (20, 10)
"""Classes in a set's picture, and images of each."""
SET_FACTS = 2**13
"""Bytes of what a set's file and its losses tell beside pixels, about."""
PAGE = 2**18
"""Bytes of results and page beside sets, about."""
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
    """Of the entries of all of them in the store."""
    travels: int = 0
    """How many of those which are not kept an engine may give to machines, each to another."""
    peak: int = 0
    """Bytes of memory that those which are not kept take at most, beside what the process holds before."""

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


State = Literal["kept", "shared", "missing"]


def plan_runs(comparisons: Mapping[str, Comparison], watch: Stopwatch | None = None) -> list[Upcoming]:
    """The same for several runs, by the names that stand before their steps: what two share is counted in the first alone."""
    made, watch = set[Name](), watch or Stopwatch()
    grouped = {name: _grouped(comparison, made) for name, comparison in comparisons.items()}
    for steps in grouped.values():
        watch.expect(_networks(steps))
    return [
        replace(line, what=f"{name}: {line.what}".removeprefix(": "))
        for name, comparison in comparisons.items()
        for line in _lines(comparison, grouped[name], watch)
    ]


def plan_run(comparison: Comparison, watch: Stopwatch | None = None, made: set[Name] | None = None) -> list[Upcoming]:
    """Every step of the run, in order; networks' passes are timed by `watch`, those of missing steps alone.

    `made`: what other runs will have made before, to which this one's are added.
    """
    grouped, watch = _grouped(comparison, set() if made is None else made), watch or Stopwatch()
    watch.expect(_networks(grouped))
    return _lines(comparison, grouped, watch)


Grouped = dict[tuple[str, str], list[tuple[Step, State]]]


def _grouped(comparison: Comparison, made: set[Name]) -> Grouped:
    grouped: Grouped = {}
    for step in comparison.steps():
        if step.unit or step.size_bytes():
            state: State = "kept" if step.kept else "shared" if step.name in made else "missing"
            grouped.setdefault((step.stage, step.line), []).append((step, state))
        made.add(step.name)
    return grouped


def _networks(grouped: Grouped) -> set[str]:
    """Those that missing steps put images through."""
    steps = (step for each in grouped.values() for step, state in each if state == "missing")
    return {passes.network for step in steps for passes in step.cost}


def _lines(comparison: Comparison, grouped: Grouped, watch: Stopwatch) -> list[Upcoming]:
    compute, problem = comparison.experiment.compute, comparison.problem

    def speed(network: str) -> Speed:
        return watch(network, problem.data, compute, problem.models)

    return [_line(steps, speed) for steps in grouped.values()]


def _line(steps: Sequence[tuple[Step, State]], speed: Callable[[str], Speed]) -> Upcoming:
    def seconds(passes: Passes) -> float:
        return passes.images * float(getattr(speed(passes.network), passes.way))

    def peak(step: Step) -> float:
        return footprint.peak(step.cost, {each.network: speed(each.network).footprint for each in step.cost})

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
        bytes=sum(ENTRY + step.size_bytes() for step, state in steps if state != "shared"),
        travels=sum(step.travels for step in missing),
        peak=round(max((peak(step) for step in missing), default=0.0)),
    )


def _work(steps: Iterable[Step]) -> str:
    """The heaviest kind of passes: `12,000 image-its`."""
    totals: dict[str, float] = {}
    for step in steps:
        for passes in step.cost:
            totals[passes.way] = totals.get(passes.way, 0.0) + passes.images
    way = next((way for way in ("pixels", "training", "forward") if totals.get(way)), None)
    return f"{round(totals[way]):,} {UNITS[way]}" if way else ""


def folder_bytes(comparison: Comparison) -> int:
    """Of what a run's folder holds, about: every row's set under each seed, as many bytes as so many raw images, its picture
    and losses, and results and page."""
    problem, experiment = comparison.problem, comparison.experiment
    raw = 3 * problem.image_size**2
    shown = min(problem.num_classes, PICTURE[0]) * min(problem.ipc, PICTURE[1])
    sets = len(experiment.rows) * len(experiment.seeds)
    return sets * (raw * (problem.ipc * problem.num_classes + shown) + SET_FACTS) + PAGE


def shorter(lines: Sequence[Upcoming], experiment: Experiment, spread: bool = False) -> str:
    """A sentence on what would shorten a run of more than an hour most; else empty. `spread`: an engine is asked for."""
    seconds: dict[str, float] = {}
    for line in lines:
        seconds[line.stage] = seconds.get(line.stage, 0.0) + line.seconds
    total = sum(seconds.values())
    if total < LONG:
        return ""
    stage = max(seconds, key=lambda each: seconds[each])
    machines = sum(line.travels for line in lines if line.stage == stage)
    ways = [*SHORTER.get(stage, ()), *(["a GPU (--device cuda)"] if experiment.device == "cpu" else [])]
    if machines > 1 and not spread:
        ways.append(f"up to {machines} machines at once (--engine ray or slurm)")
    told = f"{stage} is {100 * seconds[stage] / total:.0f} % of the time"
    return f"{told}; what would shorten it: {' or '.join(ways)}." if ways else f"{told}."
