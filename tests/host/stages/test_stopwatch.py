"""Timing of passes: within its limit, each network once, and with words where the machine was busy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from torch import Tensor, nn

from delt_host.basics.compute import Compute
from delt_host.contracts.dataset import RealData
from delt_host.contracts.observer import Observer
from delt_host.stages.estimate import LONG, Upcoming, shorter
from delt_host.stages.stopwatch import BATCHES, Stopwatch

CPU = Compute("cpu", "fp32")


class Slow(nn.Module):
    """Takes so long an image, and counts the images of each pass."""

    def __init__(self, classes: int, seconds: float, seen: list[int]) -> None:
        super().__init__()
        self.head, self.pause, self.seen = nn.Linear(3, classes), seconds, seen

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.pause * len(images))
        self.seen.append(len(images))
        return self.head(images.mean((2, 3)))


class Heard(Observer):
    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []

    @contextmanager
    def stage(self, name: str, detail: str, total: int, unit: str) -> Iterator[None]:
        self.stages.append((name, detail))
        yield


def builder(seconds: float, seen: list[int]) -> Callable[[int, int], nn.Module]:
    return lambda classes, _size: Slow(classes, seconds, seen)


def test_slow_networks_share_the_limit_and_quick_ones_get_large_batches(digits: RealData) -> None:
    data, slow, quick, heard = digits, list[int](), list[int](), Heard()
    models = {"slow": builder(0.02, slow), "quick": builder(0.0, quick)}
    watch = Stopwatch(heard, limit=1.0)
    watch.expect({"slow", "quick"})
    began = time.perf_counter()
    speed, fast = watch("slow", data, CPU, models), watch("quick", data, CPU, models)
    assert time.perf_counter() - began < 4, "5 passes of 50 images of 20 ms, three ways, would take 15 s"
    assert max(slow) < max(BATCHES) == max(quick)
    for each in (speed.forward, speed.pixels, speed.training):
        assert 0.02 <= each < 0.1
    assert fast.training < speed.training
    assert watch("slow", data, CPU, models) is speed, "timed once"
    assert heard.stages == [("time", "slow"), ("time", "quick")]


def test_it_says_that_passes_waited_for_others(digits: RealData) -> None:
    watch = Stopwatch(limit=0.1)
    watch("waits", digits, CPU, {"waits": builder(0.05, [])})  # asleep, it gets no processor, as on a busy machine
    assert "The machine was busy" in watch.busy and watch.slowed > 1.3
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


def test_of_a_network_that_is_too_slow_one_image_is_timed_and_that_is_said(digits: RealData) -> None:
    seen, watch = list[int](), Stopwatch(limit=0.1)
    speed = watch("slow", digits, CPU, {"slow": builder(0.06, seen)})
    assert seen[-1:] == [1] and len(seen) <= 2, "one image, after the check that building makes"
    assert speed.by_rule and speed.training == 3 * speed.forward
    assert watch.by_rule.startswith("Of slow a forward pass of one image was timed")
