"""Passes of networks timed on this machine within a few seconds in all, however large the networks and images are."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import nn

from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.observer import Observer
from delt_host.networks.build import Builder, build_model
from delt_host.recovery.cost import median_seconds

LIMIT = 7.0  # s for all networks together; one that is slower than that alone is timed once, on two images
BATCHES = (2, 8, 50)  # images in the timed passes; larger ones as long as there is time
PIXELS, TRAINING = 2.5, 3.0  # times as long as forward alone, about
TIMED_PASSES = 5  # of the largest batch, as long as there is time
BUSY = 1.3  # times as long as on an idle machine, from which on it is said


@dataclass(frozen=True)
class Speed:
    """Seconds an image for passes of one network, timed on this machine just now."""

    forward: float
    pixels: float
    """Forward, and backward to the pixels: one image-iteration of recovery."""
    training: float
    by_rule: bool = False
    """Whether forward passes alone were timed, and the others are so many times as long."""


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
    """How many times as long as on an idle machine passes took, at most."""

    def expect(self, models: set[str]) -> None:
        """These networks are going to be asked for."""
        self.waiting |= models

    def __call__(self, model: str, data: RealData, compute: Compute, models: dict[str, Builder]) -> Speed:
        key = (model, data.num_classes, data.image_size, compute)
        if key not in self.known:
            began, share = time.perf_counter(), (self.limit - self.took) / max(len(self.waiting), 1)
            with self.observer.stage("time", model, 0, "passes"), self._watched(compute):
                self.known[key] = time_passes(model, data, compute, models, began + share)
            self.took += time.perf_counter() - began
        self.waiting.discard(model)
        return self.known[key]

    @contextmanager
    def _watched(self, compute: Compute) -> Iterator[None]:
        others = max(os.getloadavg()[0] - 1, 0.0) if hasattr(os, "getloadavg") else 0.0  # 1: this process
        began, worked = time.perf_counter(), time.thread_time()
        yield
        if compute.device == "cpu":  # elsewhere the processor waits
            waited = (time.perf_counter() - began) / max(time.thread_time() - worked, 1e-9)
            crowded = (others + torch.get_num_threads()) / (os.cpu_count() or 1)
            self.slowed = max(self.slowed, waited, crowded)

    @property
    def by_rule(self) -> str:
        """A sentence where networks were too slow to be timed whole; else empty."""
        names = [str(key[0]) for key, speed in self.known.items() if speed.by_rule]
        if not names:
            return ""
        return (
            f"Of {', '.join(dict.fromkeys(names))} a forward pass of one image was timed; back to the pixels is counted as "
            f"{PIXELS:g} of them, training as {TRAINING:g}."
        )

    @property
    def busy(self) -> str:
        """A sentence where others worked on the machine meanwhile; else empty."""
        if self.slowed < BUSY:
            return ""
        return (
            "The machine was busy with other work while this was timed: times may be up to "
            f"{self.slowed:.1f} times too long."
        )


def time_passes(
    model: str, data: RealData, compute: Compute, models: dict[str, Builder], until: float = float("inf")
) -> Speed:
    """Time passes of a freshly initialised network on blank images, `until` this moment of `time.perf_counter`.

    One image forward is timed in any case; passes back, larger batches and repeats where they are done by then as far as
    can be told.
    """
    with isolated_rng(0, "probe"):
        network = compute.place(build_model(model, data.num_classes, data.image_size, models))
    forward = _seconds(_works(network, 1, data.image_size, compute)[0], True, until)
    if time.perf_counter() + 2 * (1 + PIXELS + TRAINING) * forward > until:
        return Speed(forward, PIXELS * forward, TRAINING * forward, by_rule=True)
    last = [0.0, 0.0, 0.0]
    before = 0
    for batch in BATCHES:
        if before and time.perf_counter() + 2 * sum(last) * batch > until:  # once to warm up, once timed
            break
        works = _works(network, batch, data.image_size, compute)
        rounds = list[tuple[float, ...]]()
        while not rounds or (
            batch == BATCHES[-1]
            and len(rounds) < TIMED_PASSES
            and time.perf_counter() + sum(map(sum, rounds)) / len(rounds) < until
        ):
            rounds.append(tuple(_seconds(work, not rounds, until) for work in works))
        last = [median(times) / batch for times in zip(*rounds, strict=True)]
        before = batch
    forward, pixels, training = last
    return Speed(forward, pixels, training)


def _seconds(work: Callable[[], object], warm: bool, until: float) -> float:
    """Of a run of it; the second one where `warm`, unless that would last until later than `until`."""
    if warm:
        first = median_seconds(work, 1, warm_up=False)
        if time.perf_counter() + first > until:
            return first
    return median_seconds(work, 1, warm_up=False)


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
