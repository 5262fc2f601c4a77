"""Timing of passes: within its limit, each network once, and with words where the machine was busy."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.observer import Observer
from delt_host.contracts.prepared import Passes
from delt_host.stages.estimate import LONG, Upcoming, shorter
from delt_host.stages.footprint import footprint
from delt_host.stages.stopwatch import BATCHES, Stopwatch, _extrapolated

CPU = Compute("cpu", "fp32")


class Slow(nn.Module):
    """Works so long an image and waits so long a pass, in seconds, and counts the images of each pass."""

    def __init__(self, classes: int, work: float, wait: float, seen: list[int]) -> None:
        super().__init__()
        self.head, self.work, self.wait, self.seen = nn.Linear(3, classes), work, wait, seen

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.wait)
        until = time.thread_time() + self.work * len(images)
        while time.thread_time() < until:
            pass
        self.seen.append(len(images))
        return self.head(images.mean((2, 3)))


class Heard(Observer):
    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        self.stages.append((name, detail))
        yield


def builder(work: float, seen: list[int], wait: float = 0.0) -> Callable[[int, int], nn.Module]:
    return lambda classes, _size: Slow(classes, work, wait, seen)


def test_slow_networks_share_the_limit_and_quick_ones_get_large_batches(digits: RealData) -> None:
    data, slow, quick, heard = digits, list[int](), list[int](), Heard()
    models = {"slow": builder(0.02, slow), "quick": builder(0.0, quick)}
    watch = Stopwatch(heard, limit=1.0)
    watch.expect({"slow", "quick"})
    worked = time.thread_time()
    speed, fast = watch("slow", data, CPU, models), watch("quick", data, CPU, models)
    assert time.thread_time() - worked < 2.5, "passes of 50 images of 20 ms, three ways, would take 6 s"
    assert max(slow) < max(BATCHES)
    threads = torch.get_num_threads()
    for each in (speed.forward, speed.pixels, speed.training):
        assert 0.02 / threads <= each < 0.1
    assert fast.training < speed.training
    assert watch("slow", data, CPU, models) is speed, "timed once"
    assert heard.stages == [("time", "slow"), ("time", "quick")]


def test_times_are_those_of_an_idle_machine_and_it_is_said_that_passes_waited(digits: RealData) -> None:
    """Asleep, a pass gets no processor, as on a busy machine: under load, a pass of two images took 0.6 s for 2 ms of work."""
    watch = Stopwatch(limit=1.0)
    speed = watch("waits", digits, CPU, {"waits": builder(0.001, [], wait=0.05)})
    assert speed.forward < 0.004, "neither the waiting nor what a pass takes that has few images"
    assert "as busy as it is now" in watch.busy and watch.slowed > 1.3
    assert Stopwatch().busy == ""


@pytest.mark.parametrize("stage, told", [("recover", "scheduler.iterations"), ("squeeze", "teacher.epochs")])
def test_a_long_run_is_told_what_would_shorten_it(stage: str, told: str) -> None:
    def line(stage: str, seconds: float) -> Upcoming:
        return Upcoming(stage, "a", 1, 0, 0, True, "", seconds, 0)

    class Asked:
        device = "cpu"

    long = shorter([line(stage, 3 * LONG), line("evaluate", LONG)], Asked())  # type: ignore[arg-type]
    assert long.startswith(f"{stage} is 75 % of the time") and told in long and "GPU" in long
    assert shorter([line(stage, LONG / 2)], Asked()) == ""  # type: ignore[arg-type]
    assert "machines" not in long, "no step of these travels"
    several = [dataclasses.replace(line(stage, 2 * LONG), travels=3)] * 2
    assert "up to 6 machines at once (--engine" in shorter(several, Asked())  # type: ignore[arg-type]
    assert "machines" not in shorter(several, Asked(), spread=True), "an engine is asked for"  # type: ignore[arg-type]


def test_of_a_network_that_is_too_slow_one_image_is_timed_and_that_is_said(digits: RealData) -> None:
    seen, watch = list[int](), Stopwatch(limit=0.1)
    speed = watch("slow", digits, CPU, {"slow": builder(0.06, seen)})
    assert set(seen) == {1} and len(seen) <= 3, "one image: to warm up, in one thread, in all"
    assert speed.by_rule and speed.training == 3 * speed.forward
    assert watch.by_rule.startswith("Of slow a forward pass of one image was timed")


def test_small_batches_are_not_taken_for_large_ones() -> None:
    """What a pass takes whatever its images, a fixed 10 ms here, was counted for each image: 45 minutes for 2."""
    points = [(2, [0.010 + 2 * 0.0001]), (8, [0.010 + 8 * 0.0001])]
    assert _extrapolated(points, 0, 50) == pytest.approx(0.010 + 50 * 0.0001)
    assert _extrapolated(points[:1], 0, 50) == pytest.approx(25 * points[0][1][0]), "of one alone nobody can tell"


def test_a_footprint_is_what_a_pass_keeps(digits: RealData) -> None:
    with isolated_rng(0, "network"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 100), nn.ReLU(), nn.Linear(100, 10))
    found = footprint(network, 8, CPU)
    assert found.weights == 4 * (192 * 100 + 100 + 1000 + 10) and found.image == 4 * 192
    assert found.saved == found.image + 4 * 100, "the input of either layer: of ReLU its output, which is that"
    training = found.of(Passes("it", "training", 1000, at_once=10))
    assert training > found.weights + 10 * found.saved > found.of(Passes("it", "forward", 1000, at_once=10))
