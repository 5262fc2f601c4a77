"""Initializers that break a promise."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from broken import STATE, breaks, noise, shape
from delt_host import (
    Initializer,
    Prepared,
    Start,
)
from delt_plugins.controls.real import Real
from delt_plugins.kit import small_problem

# Initializers


class OfNoise(Initializer):
    """Those that keep the promise of what they give."""

    dtype: ClassVar[torch.dtype] = torch.float32


@breaks("draws from torch's global generator")
class TorchGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.rand(shape(problem, classes)))


@breaks("draws from numpy's global generator")
class NumpyGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.from_numpy(np.random.rand(*shape(problem, classes))).float())


@breaks("draws from random's global generator")
class PythonGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + random.random())


@breaks("two runs under one seed differ")
class Clock(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + time.perf_counter() % 1)


@breaks("images comes out differently in another process")
class SetOrder(OfNoise):
    def initialize(self, problem, classes):
        first = next(iter({f"name {nth}" for nth in range(64)}))
        return Start(noise(problem, classes) + int(first.split()[1]) / 64)


@breaks("images comes out differently in another process")
class ProcessId(OfNoise):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + os.getpid() % 9999 / 9999)


@breaks("images comes out differently in another process")
class Unseeded(OfNoise):
    def initialize(self, problem, classes):
        with torch.random.fork_rng():
            return Start(noise(problem, classes) + torch.rand(1))


@breaks("looks at problem.data.test, and test data choose nothing")
class OnTestStart(Initializer):
    def initialize(self, problem, classes):
        return Start(problem.data.test.read(torch.arange(shape(problem, classes)[0])))


@breaks("looks at problem.data.test, and test data choose nothing")
class OnTestStatistics(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + len(problem.data.test) / 1e5)


@breaks("of its start is a test image")
class OnTestElsewhere(Initializer):
    def initialize(self, problem, classes):
        test = small_problem().data.test
        return Start(torch.cat([test.read(test.of_class(label)[: problem.count]) for label in classes]))


@breaks("gives other images than among all")
class Sorted(Initializer):
    def initialize(self, problem, classes):
        return Real().initialize(problem, sorted(classes))


@breaks("images of shape (10, 3, 8, 8), not (40, 3, 8, 8)")
class OneEach(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.zeros(len(classes), 3, 8, 8))


@breaks("images of torch.float64; give uint8, or float32 normalised")
class Doubles(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes).double())


@breaks("pixels of up to 255; give uint8, or float32 normalised")
class FloatPixels(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.full(shape(problem, classes), 255.0))


@breaks("pixels that are not finite")
class Infinite(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) / 0)


@breaks("images as a ndarray, not a tensor")
class Numpy(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes).numpy())


@breaks("it gave a Tensor; return a Start")
class Bare(Initializer):
    def initialize(self, problem, classes):
        return noise(problem, classes)


@breaks("it gave a NoneType; return a Start")
class Nothing(Initializer):
    def initialize(self, problem, classes):
        Start(noise(problem, classes))


@breaks("changes the classes that it is asked for in place")
class Pops(Initializer):
    def initialize(self, problem, classes):
        start = Start(noise(problem, classes))
        if isinstance(classes, list):
            classes.reverse()
        return start


@breaks("changes problem.data.train in place")
class Darkens(Initializer):
    def initialize(self, problem, classes):
        problem.data.train.images.clamp_(max=problem.data.train.images.max() - 1)
        return Start(torch.zeros(shape(problem, classes)))


@breaks("changes its options in place", layers=[1, 2])
class Growing(Initializer):
    layers: list[int]
    """Layers."""

    def initialize(self, problem, classes):
        self.layers.append(0)
        return Start(noise(problem, classes))


@breaks("it raised IndexError: tuple index out of range (")
class NeedsTeacher(OfNoise):
    def initialize(self, problem, classes):
        assert problem.teachers[0]
        return Start(noise(problem, classes))


@breaks("it raised KeyError: 'nothing' (")
class Raises(Initializer):
    def initialize(self, problem, classes):
        return Start({}["nothing"])


@breaks("it called sys.exit(")
class Exits(Initializer):
    def initialize(self, problem, classes):
        sys.exit(3)


@breaks("it raised AttributeError: 'Problem' object has no attribute 'image' (")
class Misspelt(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.zeros(problem.image))


@breaks("another result where what it remembers comes from the store")
class Beside(OfNoise):
    def initialize(self, problem, classes):
        seen: list[int] = []
        problem.remember("mean", lambda: seen.append(1) or {"mean": torch.zeros(1)})
        return Start(noise(problem, classes) + (0 if STATE and seen == STATE.append(0) else len(seen)))


@breaks("depends on the option 'strength', which its key does not hold")
class Unread(OfNoise):
    strength: float = 1.0
    """Strength."""

    def initialize(self, problem, classes):
        mean = problem.remember("mean", lambda: {"mean": torch.full((1,), self.strength)}, reads=())["mean"]
        return Start(noise(problem, classes) + mean)


@breaks("depends on the option 'strength', which its key does not hold")
class UnsaidInput(OfNoise):
    strength: float = 1.0
    """Strength."""

    def _prepared(self):
        return Prepared("mean", lambda _checkpoint: {"mean": torch.full((1,), self.strength)})

    def prepares(self, problem):
        return (self._prepared(),)

    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + problem.prepared(self._prepared())["mean"])


@breaks("images of another seed or set comes out differently after a first one than alone")
class KeepsFirst(OfNoise):
    kept: ClassVar[dict[Any, torch.Tensor]] = {}

    def initialize(self, problem, classes):
        for label in classes:
            self.kept.setdefault((label, problem.count), noise(problem, [label]))
        return Start(torch.cat([self.kept[label, problem.count] for label in classes]))


@breaks("changes the working folder for the whole process")
class ChangesFolder(Initializer):
    def initialize(self, problem, classes):
        os.chdir("/")
        return Start(noise(problem, classes))


@breaks("changes torch's default type for the whole process")
class ChangesType(Initializer):
    def initialize(self, problem, classes):
        start = Start(noise(problem, classes))
        torch.set_default_dtype(torch.float64)
        return start


@breaks("imports late_helper while it runs, which no key sees")
class Late(OfNoise):
    def initialize(self, problem, classes):
        import importlib

        sys.path.insert(0, str(Path(__file__).parents[1] / "late"))
        try:
            importlib.import_module("late_" + "helper")
        finally:
            sys.path.pop(0)
        return Start(noise(problem, classes))
