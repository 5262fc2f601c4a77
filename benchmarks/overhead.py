"""What an iteration of recovery costs without a network: ``python benchmarks/overhead.py`` prints microseconds.

Views drawn and applied, the optimiser's step and clipping, for a group of ten classes of ten images; the matcher takes the
mean of the views. Iterations beyond the first few, so that the loop's own start is not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from delt_host import Matcher, Views
from delt_host.basics.compute import Compute, own_process
from delt_host.plugins.registry import load_registry
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from harness import machine, noise_problem, told


class Mean(Matcher):
    """A loss that no network has a part in."""

    name: ClassVar[str] = "mean"

    def bind(self, problem: object) -> object:
        def match(views: Views) -> Mapping[str, Tensor]:
            return {"mean": views.images.mean().reshape(1)}

        return match


def iteration(size: int, iterations: int, rounds: int) -> float:
    """Seconds of one iteration: the median of `rounds` runs, the cost of a run of one iteration taken off."""
    problem = noise_problem("convnet3", size)
    registry = load_registry()
    noise = registry.get("initializer", "noise")()
    start = Latents.of(problem, noise.initialize(problem, range(problem.num_classes)))

    def seconds(count: int) -> float:
        plan = registry.get("scheduler", "constant")(iterations=count, order="class").plan(problem)
        began = time.perf_counter()
        recover_group(problem, start, plan, 0, Mean(), lambda _done, _terms: None)
        return time.perf_counter() - began

    seconds(2)
    return statistics.median((seconds(iterations + 1) - seconds(1)) / iterations for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", default=[32, 224], help="px")
    parser.add_argument("--iterations", type=int, default=20, help="of a run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    own_process(None)
    about = machine(Compute.choose())
    print(told(about))
    rows = []
    for size in arguments.size:
        micro = 1e6 * iteration(size, arguments.iterations, arguments.rounds)
        rows.append({"size": size, "microseconds": micro, "microseconds_an_image": micro / 100})
        print(f"{size} px, 100 images: {micro:,.0f} us an iteration, {micro / 100:,.1f} us an image", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "overhead": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
