"""G-VBSM's and EDC's matcher against a slow, plain reference written from the formulas, and committees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import make_problem
from delt_host.basics.errors import RunError
from delt_host.basics.seeding import generator
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.relabeler import Batch
from delt_host.contracts.teacher import Teacher
from delt_host.images.normalization import Normalization
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from delt_plugins.controls.real import Real
from delt_plugins.gvbsm.committee import CommitteeLabels
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.gvbsm.layer_moments import moments, of_batch, of_each
from delt_plugins.kit import random_teacher, views_of
from delt_plugins.sre2l.schedule import Constant

MODELS = ("convnet3", "resnet18", "convnet3_in")
RATE = 0.01
PART = 400
WHOLE = {"real_crop": "none", "real_batch": PART // 3 + 1}


@pytest.fixture(scope="module")
def committee(digits: RealData) -> tuple[Teacher, ...]:
    return tuple(random_teacher(digits, model, seed) for seed, model in enumerate(MODELS))


@pytest.fixture
def several(digits: RealData, committee: tuple[Teacher, ...]) -> Problem:
    """On a part of the training images."""
    some = torch.arange(PART)
    data = replace(digits, train=MemorySplit(digits.train.read(some), digits.train.targets[some]))
    problem = make_problem(data, committee[0], ipc=2)
    return Problem(data, committee, 2, 0, problem.protocol, problem.compute, models=problem.models)


def plain_moments(x: Tensor, patch: int) -> list[Tensor]:
    """Mean and variance over channels, then for every place of a patch one after the other."""
    found = [x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)]
    if patch:
        size = -(-x.shape[-1] // patch) * patch
        x = x if size == x.shape[-1] else F.interpolate(x, size=(size, size), mode="bilinear")
        places = range(0, size, patch)
        cells = [x[:, :, top : top + patch, left : left + patch] for top in places for left in places]
        found += [torch.stack([c.mean() for c in cells]), torch.stack([c.var(unbiased=False) for c in cells])]
    return found


def plain_mean(parts: list[list[list[Tensor]]], counts: list[int]) -> list[list[Tensor]]:
    """Of each moment of each layer of several batches, weighted by their images."""
    return [
        [sum(m * n for m, n in zip(each, counts, strict=True)) / sum(counts) for each in zip(*layer, strict=True)]
        for layer in zip(*parts, strict=True)
    ]


class PlainGvbsm:
    """The whole objective, with forward hooks that see every layer's input and nothing shared with the plugin."""

    def __init__(self, problem: Problem, decay: float, drop: float, diversity: float, class_wise: float) -> None:
        self.problem, self.decay, self.drop = problem, decay, drop
        self.diversity, self.class_wise = diversity, class_wise
        self.bars: dict[tuple[int, int, int], Tensor] = {}
        self.layers = [
            [
                m
                for m in network.modules()
                if isinstance(m, nn.Conv2d) or (isinstance(m, nn.BatchNorm2d) and m.running_mean is not None)
            ]
            for network in problem.networks
        ]
        split = problem.data.train
        order = torch.randperm(len(split), generator=generator(0, "real moments"))
        self.real, self.of_class = [], []
        for t in range(len(problem.networks)):
            batches = order.split(PART // 3 + 1)
            self.real.append(plain_mean([self._moments(t, batch) for batch in batches], [*map(len, batches)]))
            images = [self._moments(t, place[None]) for place in torch.arange(len(split))] if class_wise else []
            self.of_class.append(
                [
                    plain_mean([images[i] for i in split.of_class(c)], [1] * len(split.of_class(c)))
                    for c in range(problem.num_classes if class_wise else 0)
                ]
            )

    def _inputs(self, teacher: int, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen: dict[nn.Module, Tensor] = {}
        hooks = [
            layer.register_forward_hook(lambda m, args, _out: seen.__setitem__(m, args[0]))
            for layer in self.layers[teacher]
        ]
        logits = self.problem.networks[teacher](images)
        for hook in hooks:
            hook.remove()
        return logits, [seen[layer] for layer in self.layers[teacher]]

    @torch.no_grad()
    def _moments(self, teacher: int, indices: Tensor) -> list[list[Tensor]]:
        _, inputs = self._inputs(teacher, self.problem.normalization.normalize(self.problem.data.train.read(indices)))
        return [
            plain_moments(x, 0 if isinstance(layer, nn.BatchNorm2d) else 4)
            for layer, x in zip(self.layers[teacher], inputs, strict=True)
        ]

    def loss(self, images: Tensor, targets: Tensor, iteration: int, generator: object) -> Tensor:
        t = iteration % len(self.layers)
        logits, inputs = self._inputs(t, images)
        lots = torch.rand(len(inputs), generator=generator("drop"))  # type: ignore[operator]
        loss = F.cross_entropy(logits, targets)
        for i, (layer, x) in enumerate(zip(self.layers[t], inputs, strict=True)):
            norm = isinstance(layer, nn.BatchNorm2d)
            if not norm and lots[i] < self.drop:
                continue
            wanted = [layer.running_mean, layer.running_var] if norm else self.real[t][i]
            for s, (value, target) in enumerate(zip(plain_moments(x, 0 if norm else 4), wanted, strict=True)):
                bar = self.bars.get((t, i, s), torch.zeros_like(value))
                bar = self.decay * bar + (1 - self.decay) * value.detach()
                self.bars[t, i, s] = bar
                used = bar + value - value.detach()
                distance = (1 - self.class_wise) * (used - target).norm()
                if self.class_wise:
                    mean = torch.stack([self.of_class[t][int(c)][i][s] for c in targets]).mean(0)
                    distance = distance + self.class_wise * (used - mean).norm()
                loss = loss + 0.01 * (10 if i == 0 else 1) * distance
        for label in targets.unique():
            z = F.adaptive_avg_pool2d(images[targets == label], 32).flatten(1)
            eigenvalues = torch.linalg.eigvals(z @ z.T).real
            p, q = (eigenvalues.detach() / 4).softmax(0), eigenvalues.softmax(0)
            loss = loss + self.diversity * (p * (p.clamp_min(1e-45).log() - q.clamp_min(1e-45).log())).sum()
        return loss


@pytest.mark.parametrize(
    "options",
    [
        {"decay": 0.0, "drop": 0.0, "diversity": 0.0, "class_wise": 0.0},
        {"decay": 0.8, "drop": 0.4, "diversity": 1.0, "class_wise": 0.0},
        {"decay": 0.8, "drop": 0.4, "diversity": 0.0, "class_wise": 0.5},
    ],
    ids=["statistics", "gvbsm", "edc"],
)
def test_same_losses_and_pixels_as_the_plain_loop(several: Problem, options: dict[str, float]) -> None:
    start = Latents.of(several, Real().initialize(several, range(several.num_classes)))
    # Faint images: the eigenvalues of bright ones are so far apart that float32 rounds the divergence to nothing.
    start = Latents({"images": start.images["images"] * 0.1}, start.targets)
    plan: Plan = Constant(iterations=6, learning_rate=RATE, decay="constant", crop="none", flip=False).plan(several)
    result = recover_group(several, start, plan, 0, GeneralStatistics(**options, **WHOLE), lambda _n, _t: None)

    images = list(plan.groups[0].images)
    pixels, targets = start.images["images"][images].clone().requires_grad_(True), start.targets[images]
    optimizer = torch.optim.Adam([pixels], lr=RATE, betas=(0.5, 0.9), eps=1e-8)
    plain = PlainGvbsm(several, **options)
    low, high = several.normalization.pixel_bounds()
    for t in range(6):
        loss = plain.loss(pixels, targets, t, partial(several.generator, "match", 0, t))
        ours = sum(values[t] for name, values in result.curves.items() if name != "iteration")
        assert ours == pytest.approx(loss.item(), rel=1e-3), t
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            pixels.copy_(pixels.clamp(low, high))
    made = result.latents.images["images"]
    moved = (made - start.images["images"][images]).abs().mean()
    assert (made - pixels.detach()).abs().mean() < 0.02 * moved


def test_densification_prefers_images_that_differ(several: Problem) -> None:
    rng = several.generator("images")
    one = torch.randn(1, 3, 8, 8, generator=rng) * 0.02
    alike = one.expand(4, -1, -1, -1).contiguous()
    apart = torch.randn(4, 3, 8, 8, generator=rng) * 0.02
    options = GeneralStatistics(weight=0.0)
    match = options.bind(several)

    def value(images: Tensor) -> float:
        views = views_of(several, images, torch.zeros(4, dtype=torch.long))
        return float(match(views)["diversity"])

    assert value(alike) > 2 * value(apart) >= 0


@pytest.mark.parametrize("side", [3, 8])
def test_moments_are_per_group_and_odd_maps_are_resized(side: int) -> None:
    x = torch.randn(6, 5, side, side, generator=torch.Generator().manual_seed(0))
    together = moments(x, 2, 4)
    assert together["patch-mean"].shape == (2, (4 if side == 8 else 1))
    for group in range(2):
        own = x[group * 3 : group * 3 + 3]
        for ours, plain in zip(together.values(), plain_moments(own, 4), strict=True):
            torch.testing.assert_close(ours[group], plain, atol=1e-5, rtol=1e-4)
        for each in (moments(own, 3, 4), of_each(own.contiguous(memory_format=torch.channels_last), 4)):
            for name, ours in of_batch(each).items():
                torch.testing.assert_close(ours[0], together[name][group], atol=1e-5, rtol=1e-4)


def test_committee_labels_are_the_mean_of_all_teachers(several: Problem) -> None:
    views = several.normalization.normalize(Real().initialize(several, range(several.num_classes)).images)
    answers = [several.teacher_logits(views, teacher=t) for t in range(3)]
    place, classes = torch.arange(len(views)), several.targets()
    batch = Batch(views, place, classes, place, classes, torch.ones(len(views)))
    torch.testing.assert_close(CommitteeLabels().bind(several)(batch), sum(answers) / 3)
    rescaled = CommitteeLabels(rescale=True).bind(several)(batch)
    mean = sum(float(a.norm()) for a in answers) / 3
    torch.testing.assert_close(rescaled, sum(a / a.norm() * mean for a in answers) / 3)


def test_components_see_the_teachers_that_they_ask_for_in_their_order(several: Problem) -> None:
    first, second, third = several.teachers
    assert several.seen_by(GeneralStatistics(teachers=MODELS)).teachers == several.teachers
    assert several.seen_by(GeneralStatistics(teachers=(MODELS[2], MODELS[0]))).teachers == (third, first)
    assert several.seen_by(GeneralStatistics(teachers=MODELS[1])).teachers == (second,)  # type: ignore[arg-type]
    with pytest.raises(
        RunError, match=r"asks the teacher 'vgg', and those of this run are convnet3, resnet18, convnet3_in"
    ):
        several.seen_by(GeneralStatistics(teachers=("vgg",)))
    alone = several.seen_by(Real())
    assert alone.teachers == several.teachers[:1] and alone.networks == several.networks[:1]
    assert alone.inputs() != several.inputs()


def test_a_teacher_of_another_normalisation_is_given_its_own_space(digits: RealData) -> None:
    first, second = random_teacher(digits, seed=0), random_teacher(digits, seed=1)
    other = Teacher(**{**second.facts(), "state": second.state, "mean": (0.5,) * 3, "std": (0.5,) * 3})
    problem = make_problem(digits, first)
    pair = Problem(digits, (first, other), 4, 0, problem.protocol, problem.compute, models=problem.models)
    pixels = digits.train.read(torch.arange(20))
    network = other.network(digits.class_names, problem.compute, problem.models)
    alone = network(Normalization((0.5,) * 3, (0.5,) * 3).normalize(pixels))
    torch.testing.assert_close(pair.teacher_logits(problem.normalization.normalize(pixels), teacher=1), alone)
