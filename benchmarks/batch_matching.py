"""Batch matching, seconds of an iteration beside a plain loop of the same mathematics: ``python benchmarks/batch_matching.py``.

CIFAR-10's published settings at IPC 10, with noise for images. An iteration is the whole set once at one network, with what
trains networks meanwhile, by parts that are measured apart: matching; a step of training, times the steps of a visit and the
share of visits that train; DREAM's choice of real images, by its interval. Core-hours are seconds times threads. DCC's
iterations are those after its warm-up, in which gradients are summed; DM has the family's network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import plain_matching as plain
from delt_host import Checkpoint, Choice, Match, Matcher, Plan, Prepared, Problem
from delt_host.basics.compute import Compute, keep_freed_memory, use_threads
from delt_host.basics.options import build
from delt_host.contracts.network_source import NetworkSource
from delt_host.plugins.registry import load_registry
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_stack
from delt_host.toolbox import RealBatches, drawn_network
from delt_plugins.batch_matching.clusters import Clusters
from delt_plugins.kit import views_of
from delt_plugins.sources.fresh import Fresh
from delt_plugins.sources.trained import Interpolated, Pool
from harness import in_own_process, machine, noise_problem, seconds_of, told, worker

REGISTRY = load_registry()
NAMES = ("dc", "dsa", "dcc", "idc", "dream", "idm", "dance", "ncfm", "cim", "dm")
REAL = 50_000
"""CIFAR-10's training images, on which experts are pretrained."""
WANTED = 1.5
PUBLISHED = {
    "dm": ({}, {"networks": {"name": "fresh", "model": plain.NETWORK}}),
    "dcc": ({}, {"contrastive_from": 0}),
}
"""Options of scheduler and matcher beside those of the method."""


class Untrained(Interpolated):
    """One expert whose first and last weights nobody trained: speed does not depend on them."""

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [Prepared("untrained", partial(_untrained, problem, self.architecture(problem)))]


def _untrained(problem: Problem, model: str, _checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    ends = {end: drawn_network(problem, model, "bench", end) for end in ("first", "last")}
    return {f"{end}.{name}": t for end, network in ends.items() for name, t in network.state_dict().items()}


def component(kind: str, chosen: Choice, options: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """As a method chooses it, with these options over its own."""
    return build(REGISTRY.get(kind, chosen.name), {**chosen.options, **options}, kind, REGISTRY)


def bound(matcher: Matcher, problem: Problem) -> Matcher:
    """The matcher, bound already: what it prepares once, CIM's scores of anchors for instance, is no part of an iteration."""
    match = matcher.bind(problem)

    class Bound(type(matcher)):  # type: ignore[misc]
        def bind(self, problem: Problem) -> Match:
            return match

    return Bound.model_construct(**dict(matcher))


class Measured:
    """A method's parts in the host and in the plain loop."""

    def __init__(self, name: str, real: int) -> None:
        method, (schedule, match) = REGISTRY.get("method", name), PUBLISHED.get(name, ({}, {}))
        self.name, self.real = name, real
        self.scheduler = component("scheduler", method.scheduler, schedule)
        self.matcher: Matcher = component("matcher", method.matcher, match)
        self.form = component("form", method.form)
        self.networks: NetworkSource = self.matcher.networks
        self.clustered = int(getattr(self.matcher, "clustered_every", 0))

    @property
    def weights(self) -> dict[str, float]:
        """How often each part is done in an iteration."""
        found = {"match": 1.0}
        if isinstance(self.networks, Pool):
            # of the set; real images are trained on in so many steps, however many there are
            batches = self.networks.batches(plain.CLASSES * plain.IPC * self.form.cells, torch.Generator())
            found["step"] = sum(1 for _ in batches) * (1 - 1 / self.networks.max_age)
        if isinstance(self.networks, Interpolated):
            found["step"] = 0.0  # of an expert, before the first iteration
        if self.clustered:
            found["choice"] = 1 / self.clustered
        return found

    @property
    def pretraining(self) -> float:
        """Training steps of all experts."""
        if not isinstance(self.networks, Interpolated):
            return 0.0
        return self.networks.experts * self.networks.epochs * (REAL // self.networks.batch)

    def problem(self, compute: Compute) -> Problem:
        return noise_problem(plain.NETWORK, plain.SIZE, ipc=plain.IPC, real=self.real, compute=compute).in_form(
            self.form
        )

    def host(self, compute: Compute, iterations: int, steps: int) -> dict[str, Callable[[], object]]:
        """The host's parts; `steps` of training are one work."""
        problem = self.problem(compute)
        start = Latents.of(problem, REGISTRY.get("initializer", "noise")().initialize(problem, range(plain.CLASSES)))
        plan: Plan = self.scheduler.model_copy(update={"iterations": iterations}).plan(problem)
        still = {Pool: Fresh(model=plain.NETWORK), Interpolated: Untrained(model=plain.NETWORK)}
        update: dict[str, Any] = {"networks": still.get(type(self.networks), self.networks)}
        if self.clustered:
            update["clustered_every"] = 0
        matcher = bound(self.matcher.model_copy(update=update), problem)
        works: dict[str, Callable[[], object]] = {
            "match": lambda: recover_stack(problem, start, plan, (0,), matcher, lambda _done, _terms: None),
            "step": lambda: self._steps(problem, start, steps),
            "choice": lambda: self._choice(problem, start),
        }
        return {part: works[part] for part in self.weights}

    def _steps(self, problem: Problem, start: Latents, steps: int) -> None:
        """As the source trains its networks."""
        source, network = self.networks, drawn_network(problem, plain.NETWORK, "bench").requires_grad_(True)
        optimizer, real, rng = source.optimizer(network), RealBatches(problem), torch.Generator().manual_seed(0)
        for _ in range(steps):
            if getattr(source, "trained_on", "real") == "real":
                batch = real.of_all(source.batch, rng)
            else:
                images, labels = problem.form.decode(start.images), problem.targets()
                chosen = torch.randperm(len(images), generator=rng)[: source.batch]
                batch = images[chosen], labels[chosen]
            source.step(problem, network, optimizer, batch, rng)

    def _choice(self, problem: Problem, start: Latents) -> None:
        clusters, rng = Clusters(problem, self.matcher.real_batch, 0), torch.Generator().manual_seed(0)
        network = drawn_network(problem, plain.NETWORK, "bench")
        views = views_of(problem, start.images["images"], start.targets, network=network)
        for label in range(plain.CLASSES):
            clusters.of_class(label, views, self.clustered, rng)

    def loop(self) -> plain.Loop:
        """What the plain loop is told."""
        matcher, source = self.matcher, self.networks
        kinds = {"gradients": "gradients", "characteristic": "characteristic", "pairs": "pairs"}
        kind = REGISTRY.get("method", self.name).matcher.name
        trained = {}
        if isinstance(source, Pool | Interpolated):
            trained = {
                "train_batch": source.batch, "train_on": getattr(source, "trained_on", "real"),
                "train_siamese": source.siamese, "cutmix": source.cutmix, "momentum": source.momentum,
            }  # fmt: skip
        classify = "expert" if isinstance(source, Interpolated) else "network"
        return plain.Loop(
            match=kinds.get(kind, "means"),
            real_batch=getattr(matcher, "real_batch", 0),
            siamese=self.scheduler.siamese,
            mosaic=self.form.cells > 1,
            together=getattr(self.scheduler, "turns", "together") == "together",
            distance=getattr(matcher, "distance", "rows"),
            summed=getattr(matcher, "contrastive_from", -1) >= 0,
            classify=classify if getattr(matcher, "classify", 0) else "",
            frequencies=getattr(matcher, "frequencies", 0),
            **trained,
        )

    def published(self, iterations: int, steps: int) -> dict[str, tuple[Callable[..., object], tuple[object, ...]]]:
        """The plain loop's parts: functions and arguments."""
        loop = self.loop()
        works = {
            "match": (plain.matching, (loop, iterations, self.real)),
            "step": (plain.training, (loop, steps, self.real)),
            "choice": (plain.choosing, (loop, self.real)),
        }
        return {part: works[part] for part in self.weights}


@dataclass(frozen=True)
class Row:
    """Medians over pairs."""

    method: str
    how: str
    seconds: float
    """Of an iteration."""
    plain_seconds: float
    ratio: float
    ratios: tuple[float, ...]
    parts: dict[str, float]
    iterations: int
    core_hours: float
    plain_core_hours: float
    pretraining_core_hours: float
    """Of experts; 0 where there are none, or where the run's teacher is the network."""


def rows(name: str, arguments: argparse.Namespace, other: Executor) -> Iterator[Row]:
    measured, iterations, steps = Measured(name, arguments.real), arguments.iterations, arguments.steps
    computes = {"torch's layers": Compute.choose(stack=1)}
    if arguments.compile:
        computes["--compile"] = Compute.choose(stack=1, compiled=True)
    works: dict[tuple[str, str], Callable[[], object]] = {}
    parts = {how: measured.host(compute, iterations, steps) for how, compute in computes.items()}
    for part, (work, given) in measured.published(
        iterations, steps
    ).items():  # those to be compared one after the other
        works |= {(how, part): parts[how][part] for how in computes}
        works["plain", part] = in_own_process(other, work, *given)
    units = {"match": iterations, "step": steps, "choice": 1}
    seconds = seconds_of(works, arguments.pairs)  # type: ignore[type-var,arg-type]
    each = {key: [one / units[key[1]] for one in taken] for key, taken in seconds.items()}
    threads, total = torch.get_num_threads(), measured.scheduler.iterations

    def of_iteration(how: str) -> list[float]:
        weighed = ([weight * one for one in each[how, part]] for part, weight in measured.weights.items())
        return [sum(of_pair) for of_pair in zip(*weighed, strict=True)]

    theirs = of_iteration("plain")
    for how in computes:
        mine = of_iteration(how)
        ratios = tuple(slow / fast for slow, fast in zip(theirs, mine, strict=True))
        median, slow = statistics.median(mine), statistics.median(theirs)
        found = {part: statistics.median(each[how, part]) for part in measured.weights}
        yield Row(
            name, how, median, slow, statistics.median(ratios), ratios, found, total,
            median * total * threads / 3600, slow * total * threads / 3600,
            found.get("step", 0.0) * measured.pretraining * threads / 3600,
        )  # fmt: skip


def table_of(found: list[Row], about: Mapping[str, object]) -> Table:
    table = Table(
        title=f"{told(about)}; ratio over the plain loop, {WANTED} wanted", title_justify="left", box=SIMPLE_HEAD
    )
    for heading in ("", "", "s", "plain", "ratio", "of the pairs", "its", "core-h", "plain", "experts"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in found:
        numbers = [f"{row.seconds:.3f}", f"{row.plain_seconds:.3f}", f"{row.ratio:.2f}"]
        spread = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"
        hours = [f"{hours:,.1f}" for hours in (row.core_hours, row.plain_core_hours)]
        experts = f"{row.pretraining_core_hours:.1f}" if row.pretraining_core_hours else ""
        table.add_row(row.method, row.how, *numbers, spread, f"{row.iterations:,}", *hours, experts)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=NAMES, default=NAMES, help=", ".join(NAMES))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=1, help="of matching in each run")
    parser.add_argument("--steps", type=int, default=10, help="of training in each run")
    parser.add_argument(
        "--real", type=int, default=REAL, help="training images, in whose features DREAM looks for clusters"
    )
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="without --compile's column")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    keep_freed_memory()
    threads = use_threads(arguments.threads)
    about, found = machine(Compute.choose()), []
    with worker() as other:
        other.submit(use_threads, threads).result()
        for name in arguments.only:
            for row in rows(name, arguments, other):
                found.append(row)
                print(f"{row.method}, {row.how}: {row.seconds:.3f} s, {row.ratio:.2f}", file=sys.stderr, flush=True)
    Console().print(table_of(found, about))
    if arguments.json:
        record = {"machine": about, "pairs": arguments.pairs, "rows": [vars(row) for row in found]}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
