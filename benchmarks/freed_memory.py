"""What a process keeps of freed memory: speed, and growth from seed to seed. ``python benchmarks/freed_memory.py``

Three settings of the C library, each in a process of its own: `system`, as it comes; `kept`, freed memory stays with the
process; `between`, it stays while a step is made and goes back after it, which is what commands do. Prints, for each,
milliseconds of a ConvNet-3 iteration on 100 images of 32 px, and resident MiB after each seed of a run with two students.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SETTINGS = ("system", "kept", "between")
SEEDS, ITERATIONS = 6, 40
RUN = (
    "run --method delt --baseline cda --baseline rded --dataset digits --ipc 10 --teacher convnet3 --student convnet3"
    " --student convnet4 --set scheduler.iterations=24 --set protocol.epochs=6 --quiet"
)


def resident() -> float:
    """MiB of this process, files that it has mapped left out."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def measure(setting: str) -> dict[str, object]:
    from delt_host.basics import compute
    from delt_host.stages import step

    if setting == "system":
        compute.keep_freed_memory = lambda: None
    if setting == "kept":
        step.give_freed_memory_back = lambda: None
    compute.keep_freed_memory()
    return {"milliseconds": _iteration(), "resident": _seeds()}


def _iteration() -> float:
    from delt_host.plugins.registry import load_registry
    from delt_host.recovery.latents import Latents
    from delt_host.recovery.loop import recover_stack
    from harness import noise_problem

    registry, problem = load_registry(), noise_problem("convnet3")
    start = Latents.of(problem, registry.get("initializer", "noise")().initialize(problem, range(10)))
    plan = registry.get("scheduler", "constant")(iterations=ITERATIONS, order="class").plan(problem)
    matcher = registry.get("matcher", "batch-norm")()

    def work() -> None:
        recover_stack(problem, start, plan, (0,), matcher, lambda _done, _terms: None)

    return 1000 * min(_seconds(work) for _ in range(5)) / ITERATIONS


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _seeds() -> list[float]:
    from click.testing import CliRunner

    from delt_host.cli import cli as main
    from delt_host.stages.course import Course

    seen: list[tuple[int, float]] = []
    let_go = Course.let_go

    def watched(course: Course) -> None:
        seed = course.problem.seed
        let_go(course)
        seen.append((seed, resident()))

    Course.let_go = watched
    with tempfile.TemporaryDirectory() as folder:
        places = ["--store", f"{folder}/store", "--out", f"{folder}/run"]
        result = CliRunner().invoke(main, [*RUN.split(), "--seeds", str(SEEDS), *places])
        if result.exception is not None:
            raise result.exception
    last = {}
    for seed, size in seen:
        last[seed] = size
    return [round(size, 1) for size in last.values()]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
    else:
        for each in SETTINGS:
            made = subprocess.run([sys.executable, __file__, each], check=True, capture_output=True, text=True)
            print(each, made.stdout.splitlines()[-1], flush=True)
