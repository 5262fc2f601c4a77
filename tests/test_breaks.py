"""Components that break a promise, a few lines each, and the words that the conformance kit says of them: one sentence each."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from delt_host import (
    Curve,
    Dataset,
    Evaluation,
    Evaluator,
    Group,
    Initializer,
    Matcher,
    MemorySplit,
    Method,
    NetworkSource,
    Observer,
    Phase,
    Pixels,
    Plan,
    Prepared,
    Problem,
    Protocol,
    RealData,
    Regime,
    Relabeler,
    Scheduler,
    Squeezer,
    Start,
    use,
)
from delt_host.network_source import Frozen
from delt_host.ordinary import Ordinary
from delt_host.testing import check, small_problem
from delt_plugins.controls import Real

BREAKS: list[tuple[Any, str]] = []
STATE: list[Any] = []


def breaks(said: str, **options: Any) -> Any:
    """The class breaks its contract, and this is said of it."""

    def add(cls: Any) -> Any:
        BREAKS.append((cls(**options), said))
        return cls

    return add


def shape(problem: Problem, classes: Sequence[int]) -> tuple[int, int, int, int]:
    return (len(classes) * problem.count, 3, problem.image_size, problem.image_size)


def noise(problem: Problem, classes: Sequence[int]) -> Tensor:
    own = (problem.count, 3, problem.image_size, problem.image_size)
    return torch.cat([torch.randn(own, generator=problem.generator("noise", label)) for label in classes])


# Initializers


@breaks("draws from torch's global generator")
class TorchGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.rand(shape(problem, classes)))


@breaks("draws from numpy's global generator")
class NumpyGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.from_numpy(np.random.rand(*shape(problem, classes))).float())


@breaks("draws from Python's global generator")
class PythonGlobal(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + random.random())


@breaks("two runs under one seed differ")
class Clock(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + time.perf_counter() % 1)


@breaks("images comes out differently in another process")
class SetOrder(Initializer):
    def initialize(self, problem, classes):
        first = next(iter({f"name {nth}" for nth in range(64)}))
        return Start(noise(problem, classes) + int(first.split()[1]) / 64)


@breaks("images comes out differently in another process")
class ProcessId(Initializer):
    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + os.getpid() % 9999 / 9999)


@breaks("images comes out differently in another process")
class Unseeded(Initializer):
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


@breaks("it raised IndexError: tuple index out of range, at ")
class NeedsTeacher(Initializer):
    def initialize(self, problem, classes):
        assert problem.teachers[0]
        return Start(noise(problem, classes))


@breaks("it raised KeyError: 'nothing', at ")
class Raises(Initializer):
    def initialize(self, problem, classes):
        return Start({}["nothing"])


@breaks("it raised SystemExit: 3, at ")
class Exits(Initializer):
    def initialize(self, problem, classes):
        sys.exit(3)


@breaks("it raised AttributeError: 'Problem' object has no attribute 'image', at ")
class Misspelt(Initializer):
    def initialize(self, problem, classes):
        return Start(torch.zeros(problem.image))


@breaks("another result where what it remembers comes from the store")
class Beside(Initializer):
    def initialize(self, problem, classes):
        seen: list[int] = []
        problem.remember("mean", lambda: seen.append(1) or {"mean": torch.zeros(1)})
        return Start(noise(problem, classes) + (0 if STATE and seen == STATE.append(0) else len(seen)))


@breaks("depends on the option 'strength', which its key does not hold")
class Unread(Initializer):
    strength: float = 1.0
    """Strength."""

    def initialize(self, problem, classes):
        mean = problem.remember("mean", lambda: {"mean": torch.full((1,), self.strength)}, reads=())["mean"]
        return Start(noise(problem, classes) + mean)


@breaks("depends on the option 'strength', which its key does not hold")
class UnsaidInput(Initializer):
    strength: float = 1.0
    """Strength."""

    def _prepared(self):
        return Prepared("mean", lambda _checkpoint: {"mean": torch.full((1,), self.strength)})

    def prepares(self, problem):
        return (self._prepared(),)

    def initialize(self, problem, classes):
        return Start(noise(problem, classes) + problem.prepared(self._prepared())["mean"])


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
class Late(Initializer):
    def initialize(self, problem, classes):
        import importlib

        sys.path.insert(0, str(Path(__file__).parent / "late"))
        try:
            importlib.import_module("late_" + "helper")
        finally:
            sys.path.pop(0)
        return Start(noise(problem, classes))


# Schedulers

RATES = {"images": Curve.constant(0.05)}


def whole(problem: Problem, units: Sequence[int] | None = None, **phase: Any) -> Plan:
    units = tuple(range(problem.num_units) if units is None else units)
    return Plan(
        groups=(
            Group(images=units, phases=(Phase(**{"active": len(units), "iterations": 2, "rates": RATES, **phase}),)),
        )
    )


@breaks("it raised IndexError: tuple index out of range, at ")
class AsksFirst(Scheduler):
    def plan(self, problem):
        return whole(problem) if problem.teachers[0] else None


@breaks("the weights of the teacher (convnet3) do not fit the network")
class AsksNetwork(Scheduler):
    def plan(self, problem):
        return whole(problem) if problem.network else None


@breaks("reads images, and plans are made before there are any to look at")
class ReadsImages(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=1 + int(problem.data.train.read(torch.arange(2)).float().mean()))


@breaks("the plan leaves 4 of 40 units as they start, the first of class 9")
class OmitsAClass(Scheduler):
    def plan(self, problem):
        return whole(problem, range(problem.num_units - problem.units))


@breaks("the plan leaves 40 of 40 units as they start")
class NoGroup(Scheduler):
    def plan(self, problem):
        return Plan(groups=())


@breaks("the plan leaves 39 of 40 units as they start")
class OneActive(Scheduler):
    def plan(self, problem):
        return whole(problem, active=1)


@breaks("the plan names unit 40, but there are 40")
class OneTooMany(Scheduler):
    def plan(self, problem):
        return whole(problem, range(1, problem.num_units + 1))


@breaks("puts a unit into two groups")
class Twice(Scheduler):
    def plan(self, problem):
        return Plan(groups=whole(problem).groups * 2)


@breaks("Phase.iterations: Input should be greater than 0")
class NoIterations(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=0)


@breaks("it raised ZeroDivisionError: integer division or modulo by zero, at ")
class AtOneImage(Scheduler):
    def plan(self, problem):
        return whole(problem, iterations=8 // (problem.ipc - 1))


@breaks("plan() gives a dict, not a Plan")
class Table(Scheduler):
    def plan(self, problem):
        return whole(problem).model_dump()


@breaks("two plans for one problem differ")
class Moody(Scheduler):
    def plan(self, problem):
        STATE.append(1)
        return whole(problem, iterations=len(STATE))


@breaks("stretched(0.5) makes 2 iterations of 16")
class BadStretch(Scheduler):
    iterations: int = 16
    """Iterations."""

    def plan(self, problem):
        return whole(problem, iterations=self.iterations)

    def stretched(self, share):
        return type(self)(iterations=2)


# Matchers


def pull(views: Any, to: float = 0.0) -> Tensor:
    return (views.images - to).square().mean(dim=(1, 2, 3)).view(views.groups, -1).mean(dim=1)


@breaks("term 'pull' became nan in group 0 at iteration 11")
class LateNaN(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views) * (float("nan") if views.iteration >= 11 else 1.0)}


@breaks("it raised ZeroDivisionError")
class RunsOut(Matcher):
    def bind(self, problem):
        return lambda views: {
            "pull": pull(views) / (1 if views.iteration == 0 else 12 - views.iteration) * (1 / (12 - views.iteration))
        }


@breaks("a group's result depends on the groups before it")
class Keeps(Matcher):
    def bind(self, problem):
        STATE.append(1)
        return lambda views: {"pull": pull(views, len(STATE) % 3)}


@breaks("what lasts from iteration to iteration belongs into views.memory")
class Counts(Matcher):
    def bind(self, problem):
        seen: list[int] = []
        return lambda views: {"pull": pull(views, len(seen) * 0.1) if seen.append(1) is None else None}


@breaks("no gradient reaches the images")
class Detached(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": views.images.detach().mean().view(1)}


@breaks("term 'pull' must have shape (groups,) = (1,), not ()")
class Scalar(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": views.images.square().mean()}


@breaks("its loss is a Tensor, not a dict of names to terms")
class PlainLoss(Matcher):
    def bind(self, problem):
        return pull


@breaks("bind() gives NoneType, not a function of views")
class NoMatch(Matcher):
    def bind(self, problem):
        _ = pull


@breaks("it returned no loss term")
class NoTerm(Matcher):
    def bind(self, problem):
        return lambda views: {}


@breaks("changes views.targets in place")
class Relabels(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views) + 0 * views.targets.zero_().sum()}


@breaks("leaves a teacher in training mode")
class TrainMode(Matcher):
    def bind(self, problem):
        problem.network.train()
        return lambda views: {"pull": pull(views)}


@breaks("leaves a teacher's parameters requiring a gradient")
class Loosens(Matcher):
    def bind(self, problem):
        problem.network.requires_grad_(True)
        return lambda views: {"pull": pull(views)}


@breaks("changes a teacher's weights in place")
class Prunes(Matcher):
    def bind(self, problem):
        next(problem.network.parameters()).data.mul_(0.5)
        return lambda views: {"pull": pull(views)}


@breaks("draws from torch's global generator")
class Noisy(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views, torch.rand(()).item())}


@breaks("a group's result depends on the group beside it")
class Stacks(Matcher):
    stackable: ClassVar[bool] = True

    def bind(self, problem):
        return lambda views: {"pull": pull(views, 1.0 if views.groups == 1 else 2.0)}


@breaks("option 'weight' has no docstring under it")
class Undescribed(Matcher):
    weight: float = 1.0

    def bind(self, problem):
        return lambda views: {"pull": pull(views)}


@breaks("passes() gives nan, not a number of images")
class NoCost(Matcher):
    def bind(self, problem):
        return lambda views: {"pull": pull(views)}

    def passes(self, problem, phase):
        return float("nan")


@breaks("looks at problem.data.test")
class OnTestMatcher(Matcher):
    def bind(self, problem):
        mean = problem.data.test.read(torch.arange(4)).float().mean()
        return lambda views: {"pull": pull(views, mean)}


# Network sources


@breaks("parameter 'net.0.weight' requires a gradient in iteration 0")
class Loose(NetworkSource):
    name: Literal["loose"] = "loose"
    """Its name."""

    def bind(self, problem, group):
        return Frozen().bind(replace(problem, services=replace(problem.services, built={})), group) and LooseNetworks(
            problem
        )


class LooseNetworks:
    def __init__(self, problem: Problem) -> None:
        with problem.isolated("net"):
            self.network = Wrapped(problem)

    def at(self, iteration: int, current: object) -> nn.Module:
        return self.network


class Wrapped(nn.Module):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, problem.num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


# Relabelers


class Answers(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images)


@breaks("bind() is missing")
class Silent(Relabeler):
    pass


@breaks("asks is 'views', not class, image or view")
class AsksOther(Answers):
    asks: ClassVar[Any] = "views"


@breaks("label_bytes() says 10 an answer, and 3 packed ones take 60")
class Understated(Answers):
    def label_bytes(self, classes):
        return classes


@breaks("differs where bind() is called again")
class Forgetful(Relabeler):
    def bind(self, problem):
        STATE.append(1)
        return lambda batch: problem.teacher_logits(batch.images) + len(STATE)


@breaks("its answers are (40,), not (40, 10)")
class Classes(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images).argmax(dim=1)


@breaks("changes batch.images in place")
class Zeroes(Relabeler):
    def bind(self, problem):
        return lambda batch: problem.teacher_logits(batch.images.mul_(0.5))


@breaks("probabilities do not sum to 1")
class NoProbabilities(Answers):
    kind: ClassVar[Literal["logits", "probabilities"]] = "probabilities"


@breaks("not even the likeliest class is the same")
class Mirrored(Answers):
    def unpack(self, stored, classes):
        return stored["logits"].float().flip(1)


# Evaluators


class Scores(Evaluator):
    headline: ClassVar[str] = "top1"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"

    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": 1.0})


@breaks("headline 'top1' is not a score (top-1)")
class OtherHeadline(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top-1": 1.0})


@breaks("score 'top1' is nan, not a finite float")
class NaNScore(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": float("nan")})


@breaks("its facts cannot be written as JSON")
class TensorFacts(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": 1.0}, {"each": torch.zeros(2)})


@breaks("two runs under one seed score differently")
class Timed(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": time.perf_counter()})


@breaks("changes the distilled set in place")
class Paints(Scores):
    def evaluate(self, problem, distilled, taught):
        distilled.parts[0].packed["images"].zero_()
        return Evaluation({"top1": 1.0})


@breaks("is per 'regime' and has no evaluate()")
class NoEvaluate(Evaluator):
    headline: ClassVar[str] = "top1"


@breaks("it raised AttributeError: 'NoneType' object has no attribute 'labels', at ")
class WantsLabels(Scores):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": float(len(taught.labels))})


# Protocols and forms


@breaks("training convnet3 diverged in epoch 1", learning_rate=1e30)
class Explodes(Protocol):
    pass


@breaks("take 15360 bytes, more than 7680")
class Large(Pixels):
    def units(self, ipc, image_size):
        return 2 * ipc


@breaks("not give the images in the order of the indices")
class Backwards(Pixels):
    def read(self, packed, indices):
        return packed["images"][torch.arange(len(indices))]


@breaks("grey levels away from what its latents decode to")
class Inverted(Pixels):
    def read(self, packed, indices):
        return 255 - packed["images"][indices]


@breaks("no gradient passes through decode()")
class Rounded(Pixels):
    def decode(self, latents: Mapping[str, Tensor]) -> Tensor:
        return latents["images"].detach()


@breaks("it read an image as torch.float32")
class Floats(Pixels):
    def read(self, packed, indices):
        return packed["images"][indices].float()


# Squeezers


@breaks("no snapshot, and the last one is the teacher")
class NoSnapshot(Squeezer):
    def train(self, data, compute, models, checkpoint, progress):
        yield from ()


@breaks("looks at problem.data.test", epochs=1)
class OnTestTrained(Ordinary):
    def train(self, data, compute, models, checkpoint, progress):
        return super().train(replace(data, train=data.test), compute, models, checkpoint, progress)


@breaks("progress was told of 0", epochs=1)
class Untold(Ordinary):
    def train(self, data, compute, models, checkpoint, progress):
        return super().train(data, compute, models, checkpoint, lambda _done, _losses: None)


# Datasets


class Sixteen(Dataset):
    """Two classes of eight images each."""

    size: int = Field(8, ge=1)
    """Pixels."""

    def parts(self) -> dict[str, Any]:
        images = torch.arange(16 * 3 * 64).view(16, 3, 8, 8).remainder(251).to(torch.uint8)
        split = MemorySplit(images, torch.arange(16) % 2)
        return {"name": "sixteen", "class_names": ("a", "b"), "image_size": 8, "mean": (0.5,) * 3, "std": (0.2,) * 3,
                "train": split, "test": split, "fingerprint": "one"}  # fmt: skip

    def load(self, *_services: Any) -> RealData:
        return RealData(**self.parts())


@breaks("test has no image of class 'b'")
class NoTest(Sixteen):
    def parts(self):
        return super().parts() | {"test": MemorySplit(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4))}


@breaks("the fingerprint is another one when it is loaded again")
class NewPrint(Sixteen):
    def parts(self):
        return super().parts() | {"fingerprint": str(time.perf_counter())}


@breaks("std is (0.0, 0.0, 0.0), not three finite numbers above 0")
class NoSpread(Sixteen):
    def parts(self):
        return super().parts() | {"std": (0.0,) * 3}


@breaks("train.read() gives (16, 3, 8, 8), not (16, 3, 9, 9)")
class OtherSize(Sixteen):
    def parts(self):
        return super().parts() | {"image_size": 9}


# Methods, regimes, networks, observers

BREAKS += [
    (Method(summary="", initializer=use("nosuch")), "unknown initializer 'nosuch'"),
    (Method(summary="", initializer=use("real", nosuch=1)), "initializer real has no option 'nosuch'"),
    (
        Method(
            summary="",
            initializer=use("real"),
            scheduler=use("constant"),
            datasets={"cifar10": {"scheduler.nosuch": 1}},
        ),
        "on cifar10 it sets scheduler.nosuch, which scheduler constant has not",
    ),
    (Regime(summary="", relabeler=use("hard"), protocol=use("nosuch")), "unknown protocol 'nosuch'"),
]


def five_classes(classes: int, size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 5))


def no_network(classes: int, size: int) -> object:
    return lambda images: torch.zeros(len(images), classes)


def by_batch(classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.BatchNorm1d(3 * size * size, track_running_stats=False), nn.Linear(3 * size * size, classes)
    )


BREAKS += [
    (five_classes, "gives (2, 5) for two images, not (2, 10): it is no classifier"),
    (no_network, "it raised AttributeError: 'function' object has no attribute"),
    (by_batch, "in eval mode an image's logits depend on the images beside it"),
]


class NoFailures(Observer):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def scored(self, score, images):
        images.read(torch.arange(1))


class NoFolder(Observer):
    def __init__(self) -> None:
        pass


BREAKS += [
    (NoFailures, "it raised AttributeError: 'NoneType' object has no attribute 'read'"),
    (NoFolder, "it raised TypeError"),
]


@pytest.fixture(scope="module")
def shared() -> Problem:
    return small_problem()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("thing", "said"), BREAKS, ids=[getattr(t, "__name__", type(t).__name__) for t, _ in BREAKS])
def test_a_broken_promise_is_one_sentence(thing: Any, said: str, shared: Problem) -> None:
    problem = (
        small_problem()
        if type(thing).__name__ in ("Darkens", "Prunes")
        else replace(shared, services=type(shared.services)())
    )
    state, folder = torch.random.get_rng_state(), Path.cwd()
    with pytest.raises(AssertionError) as caught:
        check(thing, problem)
    name, text = getattr(thing, "__name__", type(thing).__name__), str(caught.value)
    assert text.startswith(f"{name}: ") and "\n" not in text and said in text, text
    assert "0x" not in text and "http" not in text, "no addresses"
    assert torch.equal(torch.random.get_rng_state(), state) and Path.cwd() == folder, "what it changed is set back"


class Right(Initializer):
    """Draws as it should, and remembers."""

    strength: float = 1.0
    """Of what is added."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        mean = problem.remember("mean", lambda: {"mean": torch.full((1,), self.strength)}, reads=("strength",))["mean"]
        return Start(noise(problem, classes) + mean)


def a_network(classes: int, size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * size**2, classes)
    )


class Hears(Observer):
    """Writes into its folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "notes.txt"

    def note(self, message: str) -> None:
        self.file.write_text(message)


RIGHT = [Right(), Sixteen(), a_network, Hears, Scores(), Answers(), Method(summary="", initializer=use("real"))]


@pytest.mark.parametrize("thing", RIGHT, ids=[getattr(t, "__name__", type(t).__name__) for t in RIGHT])
def test_what_keeps_its_contract_passes(thing: Any, shared: Problem) -> None:
    check(thing, shared)


def test_what_is_made_in_a_cell_is_not_tried_elsewhere_and_that_is_said(shared: Problem) -> None:
    class Inner(Right):
        pass

    with pytest.warns(UserWarning, match="Inner is not tried in a second process"):
        check(Inner(), shared)
