"""Passes of networks timed on this machine within a few seconds in all, however large the networks and images are.

On a processor the time that one thread has of it is counted, in which the work of others does not show, and then what several
threads gain. The wall's clock under load says little: threads wait for the one that others keep from the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from delt_host.basics import compute as computing
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.observer import Observer
from delt_host.networks.build import Builder, unchecked_model
from delt_host.recovery.cost import median_seconds
from delt_host.stages.footprint import Footprint, footprint

LIMIT = 5.0  # s for all networks together; one that is slower than that alone is timed once, on one image
BATCHES = (2, 8, 50)  # images in the timed passes; larger ones as long as there is time
PIXELS, TRAINING = 2.5, 3.0  # times as long as forward alone, about
ROUNDS = 3  # of the largest batch in all threads, as long as there is time
GAIN = 0.75  # of a thread more, where that cannot be timed
BUSY = 1.3  # times as long as on an idle machine, from which on it is said


@dataclass(frozen=True)
class Speed:
    """Seconds an image for passes of one network in batches of some tens, timed on this machine just now."""

    forward: float
    pixels: float
    """Forward, and backward to the pixels: one image-iteration of recovery."""
    training: float
    by_rule: bool = False
    """Whether a forward pass alone was timed, and the others are so many times as long."""
    footprint: Footprint = field(default_factory=Footprint)
    """What passes take of memory."""


@dataclass
class Stopwatch:
    """Each network is timed once. `expect` says which are to come, so that each gets its share of the time."""

    observer: Observer = field(default_factory=Observer)
    limit: float = LIMIT
    known: dict[tuple[object, ...], Speed] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    took: float = 0.0
    """Seconds so far, building the networks included."""
    slowed: float = 1.0
    """How many times as long as the processor worked on them passes took, at most."""

    def expect(self, models: set[str]) -> None:
        """These networks are going to be asked for."""
        self.waiting |= models

    def __call__(self, model: str, data: RealData, compute: Compute, models: dict[str, Builder]) -> Speed:
        key = (model, data.num_classes, data.image_size, compute)
        if key not in self.known:
            began, share = time.perf_counter(), (self.limit - self.took) / max(len(self.waiting), 1)
            with self.observer.stage("time", model, 0, "passes"):
                with isolated_rng(0, "probe"):
                    network = compute.place(unchecked_model(model, data.num_classes, data.image_size, models))
                timing = _Timing(network, data.image_size, compute, began + share)
                self.known[key] = timing.speed()
            self.slowed = max(self.slowed, timing.stretch)
            self.took += time.perf_counter() - began
        self.waiting.discard(model)
        return self.known[key]

    @property
    def by_rule(self) -> str:
        """A sentence where networks were too slow to be timed whole; else empty."""
        names = [str(key[0]) for key, speed in self.known.items() if speed.by_rule]
        if not names:
            return ""
        return (
            f"Of {', '.join(dict.fromkeys(names))} a forward pass of one image was timed; back to the pixels is counted as "
            f"{PIXELS:g} of them, training as {TRAINING:g}: their times may be off by a factor of two."
        )

    @property
    def busy(self) -> str:
        """A sentence where others worked on the machine meanwhile; else empty."""
        if self.slowed < BUSY:
            return ""
        return (
            "The machine is busy with other work. Times are for one that is not, by what the processor did; "
            f"as busy as it is now, a run takes {self.slowed:.1f} times as long or longer."
        )


class _Timing:
    """Passes of a freshly initialised network on blank images, `until` this moment of `time.perf_counter`.

    One image forward is timed in any case; passes back, larger batches and more threads where they are done by then as far as
    can be told.
    """

    def __init__(self, network: nn.Module, side: int, compute: Compute, until: float) -> None:
        self.network, self.side, self.compute, self.until = network, side, compute, until
        self.on_processor = torch.device(compute.device).type == "cpu"
        self.passed, self.worked = 0.0, 0.0

    @property
    def stretch(self) -> float:
        """How many times as long passes took as the processor worked on them; 1 on accelerators, for which it waits."""
        return max(self.passed / self.worked, 1.0) if self.worked else 1.0

    def speed(self) -> Speed:
        with self._one_thread():
            found = footprint(self.network, self.side, self.compute)  # the pass that warms up
            forward = self._seconds(_works(self.network, 1, self.side, self.compute)[0], warm=False)
            points = self._points() if self._is_time(2 * (1 + PIXELS + TRAINING) * forward) else []
        if not points:
            forward *= self._gain([_works(self.network, 1, self.side, self.compute)[0]], [forward])[0]
            return Speed(forward, PIXELS * forward, TRAINING * forward, True, found)
        batch, last = points[-1]
        gains = self._gain(_works(self.network, batch, self.side, self.compute), last)
        forward, pixels, training = (
            _extrapolated(points, way, max(BATCHES)) / max(BATCHES) * gain for way, gain in enumerate(gains)
        )
        return Speed(forward, pixels, training, footprint=found)

    def _points(self) -> list[tuple[int, list[float]]]:
        """Seconds of each way's pass, by images in it."""
        points = list[tuple[int, list[float]]]()
        for batch in BATCHES:
            ahead = sum(_extrapolated(points, way, batch) for way in range(3)) if points else 0.0
            if not self._is_time(2 * ahead):  # once to warm up, once timed
                break
            works = _works(self.network, batch, self.side, self.compute)
            points.append((batch, [self._seconds(work, warm=True) for work in works]))
        return points

    def _gain(self, works: Sequence[Callable[[], object]], alone: Sequence[float]) -> list[float]:
        """What passes take in all threads, as a share of what they take in one."""
        count = torch.get_num_threads()
        if not self.on_processor or count == 1:
            return [1.0] * len(works)
        if self.stretch > BUSY or not self._is_time(2 * sum(alone)):
            return [1 / (1 + GAIN * (count - 1))] * len(works)
        rounds = list[list[float]]()
        while len(rounds) < ROUNDS + 1 and (not rounds or self._is_time(sum(rounds[-1]))):  # the first one warms up
            rounds.append([median_seconds(work, 1, warm_up=False) for work in works])
        together = [min(times) for times in zip(*rounds, strict=True)]
        return [min(max(each / own, 1 / count), 1.0) for each, own in zip(together, alone, strict=True)]

    def _is_time(self, seconds: float) -> bool:
        return time.perf_counter() + self.stretch * seconds <= self.until

    def _seconds(self, work: Callable[[], object], warm: bool) -> float:
        """Of a run of it; the second one where `warm`, unless that would last until later than it may."""
        first = self._once(work)
        return self._once(work) if warm and self._is_time(first) else first

    def _once(self, work: Callable[[], object]) -> float:
        began, worked = time.perf_counter(), time.thread_time()
        if not self.on_processor:
            return median_seconds(work, 1, warm_up=False)
        work()
        worked = time.thread_time() - worked
        self.passed += time.perf_counter() - began
        self.worked += worked
        return worked

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        with computing.threads(1 if self.on_processor else torch.get_num_threads()):
            yield


def _extrapolated(points: Sequence[tuple[int, list[float]]], way: int, batch: int) -> float:
    """Seconds of a pass of so many images: on the line through the last two points, whose fixed part small batches pay."""
    (images, times), before = points[-1], points[-2] if len(points) > 1 else None
    slope = times[way] / images
    if before is not None:
        slope = min(max((times[way] - before[1][way]) / (images - before[0]), 0.0), slope)
    return times[way] + slope * (batch - images)


def _works(network: nn.Module, batch: int, side: int, compute: Compute) -> list[Callable[[], object]]:
    """Forward, to the pixels, to the weights."""
    images = torch.zeros(batch, 3, side, side, device=compute.device).contiguous(memory_format=torch.channels_last)

    def forward() -> None:
        network.eval().requires_grad_(False)
        with torch.no_grad(), compute.autocast():
            network(images)

    def pixels() -> None:
        network.eval().requires_grad_(False)
        leaf = images.detach().requires_grad_(True)
        with compute.autocast():
            loss = network(leaf).float().square().mean()
        torch.autograd.grad(loss, leaf)

    def training() -> None:
        network.train().requires_grad_(True)
        with compute.autocast():
            network(images).float().square().mean().backward()
        network.zero_grad(set_to_none=True)

    return [forward, pixels, training]
