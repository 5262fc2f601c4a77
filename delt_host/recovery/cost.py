"""What recovery costs: what goes through which network, its multiply-adds, counted, and the time and memory that it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from delt_host.basics.accelerator import accelerator, counts_memory
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.plan import Group, Plan
from delt_host.contracts.prepared import Passes
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_stack


def passes_of(problem: Problem, groups: Sequence[Group], matcher: Matcher) -> tuple[Passes, ...]:
    """What goes through which network while groups are recovered. Those of several models take turns, so they count alike."""
    phases = [phase for group in groups for phase in group.phases]
    together = {id(group): group for group in groups}.values()  # one that comes again does so later
    names = matcher.networks.architectures(problem)
    if not names:
        return ()
    matched = sum(matcher.passes(problem, phase) for phase in phases) / len(names)
    trained = sum(matcher.networks.passes(problem, phase) for phase in phases) / len(names)
    at_once = sum(max((matcher.at_once(problem, phase) for phase in group.phases), default=0.0) for group in together)
    costs = [(Passes(name, "pixels", matched, at_once), Passes(name, "training", trained)) for name in names]
    return tuple(passes for pair in costs for passes in pair if passes.images)


def multiply_adds(problem: Problem, start: Latents, plan: Plan, matcher: Matcher) -> float:
    """Multiply-adds of convolutions and matrix products in the whole plan, forward and backward, augmentation included.

    Counted in one iteration for each teacher of the first group with all its images, then scaled by image-iterations. Networks
    that are trained meanwhile are as drawn in their first iteration, which is left out.
    """
    plain = matcher.networks.stackable and matcher.balance == "given"
    group, warm = plan.groups[0], 0 if plain else 1
    if problem.teachers:
        _ = problem.networks  # built now: a model's first pass, which tries whether it takes the images, is not counted

    def counted(iterations: int) -> float:
        last = group.phases[-1].model_copy(update={"iterations": iterations})
        short = plan.model_copy(update={"groups": (Group(images=group.images, phases=(last,)),)})
        with FlopCounterMode(display=False) as counter:
            recover_stack(problem, start, short, (0,), matcher, lambda _done, _terms: None, record=False)
        return counter.get_total_flops() / 2

    several = max(len(problem.teachers), 1)
    of_them = counted(warm + several) - (counted(warm) if warm else 0.0)
    return of_them / (several * group.phases[-1].active) * plan.image_iterations


def median_seconds(work: Callable[[], object], repeats: int, warm_up: bool = True) -> float:
    """How long it takes until the device has done it; once before, to `warm_up`, does not count."""
    seconds = []
    for _ in range(warm_up + repeats):
        began = time.perf_counter()
        work()
        if accelerator() is not None:
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - began)
    return median(seconds[warm_up:])


@dataclass
class Peak:
    """The most memory in use inside a `peak_memory` block."""

    size_bytes: float = math.nan
    """NaN where the system does not tell."""


@contextmanager
def peak_memory(device: str) -> Iterator[Peak]:
    """Measure the block's peak: tensors on an accelerator, where it tells; on a CPU the whole process, libraries included."""
    peak = Peak()
    if torch.device(device).type != "cpu":
        if (counter := counts_memory(device)) is None:
            yield peak
            return
        counter.reset_peak_memory_stats(device)
        yield peak
        peak.size_bytes = counter.max_memory_allocated(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")  # Linux: sets the peak back to what is in use now
        can_tell = True
    except OSError:
        can_tell = False
    yield peak
    if can_tell:
        status = Path("/proc/self/status").read_text().splitlines()
        peak.size_bytes = next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
