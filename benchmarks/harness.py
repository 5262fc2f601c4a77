"""Paired timing, a problem whose content does not matter, and what the figures were measured on."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from delt_host import MemorySplit, Problem, Protocol, RealData, Teacher
from delt_host.basics.accelerator import device_name
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import Builder, build_model
from delt_host.plugins.registry import load_registry


def models() -> dict[str, Builder]:
    """The networks of plugins, by name."""
    return load_registry().things("model")


def noise_problem(
    model: str, size: int = 32, *, classes: int = 10, ipc: int = 10, real: int = 100, compute: Compute | None = None,
    **protocol: Any,
) -> Problem:  # fmt: skip
    """Noise as real images and a teacher of random weights: speed does not depend on what is in them."""
    rng = torch.Generator().manual_seed(0)
    real = max(real, classes)
    targets = torch.arange(real) % classes
    images = torch.randint(0, 256, (real, 3, size, size), dtype=torch.uint8, generator=rng)
    split = MemorySplit(images, targets)
    few = MemorySplit(images[:classes], targets[:classes])
    names = tuple(f"class {c}" for c in range(classes))
    data = RealData("noise", names, size, (0.5,) * 3, (0.25,) * 3, split, few, "noise")
    with isolated_rng(0, "bench"):
        state = build_model(model, classes, size, models()).state_dict()
    teacher = Teacher(model, state, names, data.mean, data.std, size)
    settings = Protocol(**{"evaluate_every": 0, **protocol})
    return Problem(data, (teacher,), ipc, 0, settings, compute or Compute.choose(stack=1), models())


@dataclass(frozen=True)
class Ratio:
    """How often `measured` fits into `reference`, over pairs of runs one after the other."""

    work: str
    over: str
    target: float
    """The least ratio that is wanted; 0: none was set."""
    ratios: tuple[float, ...]
    rate: float = 0.0
    """Units a second of the measured work, of which the text below says what they are."""
    unit: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.ratios)


def in_own_process(worker: Executor, work: Callable[..., object], *arguments: object) -> Callable[[], float]:
    """The work as a call that has `worker` do it and returns the seconds that it took there.

    Published loops run in a process of their own, as their scripts do: ours keeps freed memory, theirs does not.
    """
    return lambda: worker.submit(_timed, work, *arguments).result()


def _timed(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    synchronize()
    return time.perf_counter() - began


@contextmanager
def worker() -> Iterator[Executor]:
    """A process that waits for work."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        yield executor


def seconds_of(works: Mapping[str, Callable[[], object]], pairs: int) -> dict[str, list[float]]:
    """Seconds of each work in each of `pairs` rounds; all run in turn within a round, after one that is not counted.

    A work that returns a number has measured itself.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(pairs + 1):
        for name, work in works.items():
            synchronize()
            began = time.perf_counter()
            measured = work()
            synchronize()
            if turn:
                taken[name].append(measured if isinstance(measured, float) else time.perf_counter() - began)
    return taken


def ratio(
    work: str, over: str, target: float, seconds: Mapping[str, list[float]], names: tuple[str, str], units: float = 0,
    unit: str = "",
) -> Ratio:  # fmt: skip
    """The ratio of two of the works: `names` are (measured, reference)."""
    mine, other = (seconds[name] for name in names)
    pairs = tuple(theirs / own for own, theirs in zip(mine, other, strict=True))
    return Ratio(work, over, target, pairs, units / statistics.median(mine), unit)


def synchronize() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def high_water() -> int:
    """The most that was resident of this process, in bytes; not `getrusage`'s, which starts from the peak of the process that
    started this one."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) * 1024


def machine(compute: Compute) -> dict[str, Any]:
    """Date, processor, threads, precision and versions."""
    names = ("torch", "torchvision", "timm", "delt-host")
    return {
        "date": date.today().isoformat(),
        "processor": device_name(compute.device) or processor(),
        "threads": torch.get_num_threads(),
        "precision": compute.precision,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def told(about: Mapping[str, Any]) -> str:
    """The machine in one line."""
    return ", ".join(f"{name} {value}" for name, value in about.items())
