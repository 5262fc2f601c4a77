"""What a third party runs to prove that a component keeps its contract: ``delt_host.testing.check(MyMatcher())``.

Each check raises AssertionError with a sentence that says what is wrong; pytest shows it. They run on a small real problem in
a few seconds and need no data of the caller's.
"""

from __future__ import annotations

import copy
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tomli_w
import torch
from torch import Tensor

from delt_host.components import (
    Component,
    Cost,
    Distilled,
    Evaluator,
    ImageSet,
    Initializer,
    LabelledViews,
    Labels,
    Matcher,
    Relabeler,
    Scheduler,
)
from delt_host.compute import Compute
from delt_host.data.base import RealData
from delt_host.data.digits import Digits
from delt_host.models import build_model
from delt_host.plan import Curve, Group, Phase, Plan
from delt_host.problem import Problem
from delt_host.protocols import Protocol
from delt_host.recover import check_plan, recover_group, recover_stack
from delt_host.resume import Checkpoint
from delt_host.seeding import isolated_rng
from delt_host.squeezer import Squeezer
from delt_host.squeezer_check import check_squeezer
from delt_host.teacher import Teacher


def random_teacher(data: RealData, model: str = "convnet3", seed: int = 0) -> Teacher:
    """A teacher with random weights, and BatchNorm statistics that are not the trivial 0 and 1."""
    with isolated_rng(seed, "test teacher"):
        network = build_model(model, data.num_classes, data.image_size)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
            if name.endswith("running_var"):
                buffer.uniform_(0.3, 2.0)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return Teacher(model, state, data.class_names, data.mean, data.std, data.image_size)


def small_problem(ipc: int = 4, seed: int = 0, teacher: str = "convnet3", **protocol: Any) -> Problem:
    """The handwritten digits at 8 px, a random teacher, three epochs of student training, float32 on the CPU."""
    data = Digits(image_size=8).load()
    settings = Protocol(**{"epochs": 3, **protocol})
    return Problem(data, (random_teacher(data, teacher),), ipc, seed, settings, Compute("cpu", "fp32"))


def check(component: Component, problem: Problem | None = None) -> None:
    """Every promise of the component's contract, on `problem` or on `small_problem()`."""
    problem = problem or small_problem()
    check_options(component)
    for contract, examine in (
        (Initializer, check_initializer),
        (Scheduler, check_scheduler),
        (Matcher, check_matcher),
        (Relabeler, check_relabeler),
        (Evaluator, check_evaluator),
        (Squeezer, check_squeezer),
    ):
        if isinstance(component, contract):
            with _global_rng_untouched(component):
                examine(component, problem)  # type: ignore[arg-type]
            return
    raise AssertionError(f"{_name(component)} is no component that can be checked")


def check_options(component: Component) -> None:
    """Options survive a recipe file: written as TOML and read again they make an equal component."""
    written = {k: v for k, v in component.model_dump(mode="json").items() if v is not None}
    read = tomllib.loads(tomli_w.dumps(written))
    assert type(component)(**read) == component, f"{_name(component)}: options change on their way through a recipe"
    for option, info in type(component).model_fields.items():
        assert info.description, f"{_name(component)}: option {option!r} has no docstring under it"


def check_initializer(initializer: Initializer, problem: Problem) -> None:
    """IPC finite images of every class, in class order, the same under the same seed."""
    name, first = _name(initializer), initializer.initialize(problem)
    size = problem.image_size
    wanted = (problem.num_images, 3, size, size)
    assert tuple(first.images.shape) == wanted, f"{name}: images are {tuple(first.images.shape)}, not {wanted}"
    assert first.images.dtype == torch.float32, f"{name}: images are {first.images.dtype}, not float32"
    assert torch.equal(first.targets, problem.targets()), f"{name}: targets are not in class order, IPC of each class"
    assert bool(first.images.isfinite().all()), f"{name}: some pixels are not finite"
    again = initializer.initialize(problem)
    assert torch.equal(first.images, again.images), f"{name}: two runs under one seed differ; use problem.generator()"


def check_scheduler(scheduler: Scheduler, problem: Problem) -> None:
    """A plan of disjoint groups over images that exist, the same every time, unchanged by JSON."""
    name, plan = _name(scheduler), scheduler.plan(problem)
    check_plan(plan, problem.num_images)
    assert scheduler.plan(problem) == plan, f"{name}: two plans for one problem differ"
    assert Plan.model_validate_json(plan.model_dump_json()) == plan, f"{name}: the plan changes when written as JSON"
    counted = sum(phase.active * phase.iterations for group in plan.groups for phase in group.phases)
    assert counted == plan.image_iterations, f"{name}: the plan's cost is not that of its phases"


def check_matcher(matcher: Matcher, problem: Problem) -> None:
    """Finite terms whose gradient reaches the images, the same every time and whichever groups run before."""
    name, plan, start = _name(matcher), _two_groups(problem), _real_start(problem)
    last: dict[int, torch.Tensor] = {}
    for order in ((0, 1), (1, 0)):
        for index in order:
            # The host itself checks the terms' shape, their values and the gradient, as it does in every run.
            images = recover_group(problem, start, plan, index, matcher, lambda _done, _terms: None).images
            before = start.images[list(plan.groups[index].images)]
            assert not torch.equal(images, before), f"{name}: no image moves, so no gradient reaches the pixels"
            assert bool(images.isfinite().all()), f"{name}: some pixels are not finite after three iterations"
            same = index not in last or torch.equal(last[index], images)
            assert same, f"{name}: a group's result depends on the groups before it; keep state inside bind()"
            last[index] = images
    _check_goes_on(name, matcher, problem, start, plan, last[0])
    if matcher.stackable:
        for index, result in enumerate(
            recover_stack(problem, start, plan, (0, 1), matcher, lambda _done, _terms: None)
        ):
            near = (result.images - last[index]).abs().mean() < 0.05 * (
                last[index] - start.images[list(plan.groups[index].images)]
            ).abs().mean()
            assert near, (
                f"{name}: a group's result depends on the group beside it; take statistics per group, or stackable = False"
            )


def _check_goes_on(
    name: str, matcher: Matcher, problem: Problem, start: ImageSet, plan: Plan, expected: Tensor
) -> None:
    """Stop the first group after each iteration but the last, and go on with a matcher bound anew."""

    def nothing(_done: int, _terms: Mapping[str, float]) -> None:
        return None

    class Kept(Checkpoint):
        """Keeps every checkpoint, and loads the one it is told to."""

        def __init__(self, kept: list[tuple[dict[str, Tensor], dict[str, Any]]], load: int) -> None:
            super().__init__(None)
            self.kept, self.place = kept, load

        due = property(lambda _self: True)

        def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
            return self.kept[self.place] if self.place >= 0 else None

        def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
            self.kept.append(({k: t.detach().clone() for k, t in tensors.items()}, copy.deepcopy(dict(facts))))

    kept: list[tuple[dict[str, Tensor], dict[str, Any]]] = []
    recover_stack(problem, start, plan, (0,), matcher, nothing, Kept(kept, -1))
    for place in range(len(kept) - 1):
        images = recover_stack(problem, start, plan, (0,), matcher, nothing, Kept(list(kept), place))[0].images
        assert torch.equal(images, expected), (
            f"{name}: a group that goes on after a kill comes out differently; what lasts from iteration to iteration "
            "belongs into views.memory"
        )


def check_relabeler(relabeler: Relabeler, problem: Problem) -> None:
    """Labels of the right shape that replay the same views each time and take the bytes they say."""
    name, distilled = _name(relabeler), _real_distilled(problem)
    labels = relabeler.relabel(problem, distilled)
    said, is_now = relabeler.size_bytes(problem), labels.size_bytes
    assert said == is_now, f"{name}: size_bytes() says {said} bytes before and {is_now} after"
    labels.prepare()
    anew = relabeler.relabel(problem, distilled)
    for epoch in range(problem.protocol.epochs):
        first, again, back = (list(each.epoch(epoch)) for each in (labels, labels, anew))
        count = sum(len(batch.images) for batch in first)
        assert count == problem.num_images, f"{name}: epoch {epoch} has {count} views, not {problem.num_images}"
        for batch in first:
            _check_batch(name, batch, labels, problem)
        assert _same(first, again), f"{name}: epoch {epoch} gives other views or labels when replayed"
        assert _same(first, back), f"{name}: epoch {epoch} differs where relabel() is called again"


def check_evaluator(evaluator: Evaluator, problem: Problem) -> None:
    """Finite scores with the headline among them, facts that JSON can hold, the same every time."""
    name, distilled = _name(evaluator), _real_distilled(problem)
    first, again = (evaluator.evaluate(problem, distilled, _OneHot(problem, distilled)) for _ in range(2))
    there = ", ".join(first.scores)
    assert evaluator.headline in first.scores, f"{name}: headline {evaluator.headline!r} is not a score ({there})"
    for score, value in first.scores.items():
        assert isinstance(value, float) and math.isfinite(value), f"{name}: score {score!r} is {value!r}"
    json.dumps(first.facts)
    assert first.scores == again.scores, f"{name}: two runs under one seed score differently"


class _OneHot(Labels):
    """Whole images with their class: the plainest labels there are."""

    kind = "probabilities"

    def __init__(self, problem: Problem, distilled: Distilled) -> None:
        self.images = problem.normalization.normalize(distilled.pixels)
        self.targets = torch.nn.functional.one_hot(distilled.targets, problem.num_classes).float()
        self.size_bytes = len(distilled.targets)

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        yield LabelledViews(self.images, self.targets, self.targets.argmax(dim=1))


def _check_batch(name: str, batch: LabelledViews, labels: Labels, problem: Problem) -> None:
    (views, targets, own), size, classes = batch, problem.image_size, problem.num_classes
    assert tuple(views.shape[1:]) == (3, size, size), (
        f"{name}: views are {tuple(views.shape)}, not (B, 3, {size}, {size})"
    )
    wanted, ints = (len(views), classes), (own.dtype, tuple(own.shape))
    assert tuple(targets.shape) == wanted, f"{name}: targets are {tuple(targets.shape)}, not {wanted}"
    assert ints == (torch.int64, (len(views),)), f"{name}: classes are {ints}, not int64 of shape ({len(views)},)"
    assert bool(views.isfinite().all() and targets.isfinite().all()), f"{name}: some views or labels are not finite"
    if labels.kind == "probabilities":
        ones = torch.ones(len(targets))
        assert torch.allclose(targets.sum(dim=1), ones, atol=1e-3), f"{name}: probabilities do not sum to 1"


def _same(one: list[LabelledViews], other: list[LabelledViews]) -> bool:
    return all(torch.equal(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(a, b, strict=True))


def _two_groups(problem: Problem) -> Plan:
    """Three iterations each over the first and the second half of the images."""
    rate = Curve(shape="constant", start=0.05, stop=0.05, span=1)
    crop = Curve(shape="constant", start=0.5, stop=0.5, span=1)
    half = problem.num_images // 2
    groups = tuple(
        Group(images=images, phases=(Phase(active=len(images), iterations=3, learning_rate=rate, min_crop=crop),))
        for images in (tuple(range(half)), tuple(range(half, problem.num_images)))
    )
    return Plan(groups=groups)


def _real_start(problem: Problem) -> ImageSet:
    """The first images of every class."""
    places = [problem.data.train.of_class(label)[: problem.ipc] for label in range(problem.num_classes)]
    return ImageSet(problem.normalization.normalize(problem.data.train.read(torch.cat(places))), problem.targets())


def _real_distilled(problem: Problem) -> Distilled:
    start = _real_start(problem)
    return Distilled(problem.normalization.denormalize(start.images, "nearest"), start.targets, Cost())


@contextmanager
def _global_rng_untouched(component: Component) -> Iterator[None]:
    before = torch.random.get_rng_state()
    yield
    moved = not torch.equal(before, torch.random.get_rng_state())
    assert not moved, f"{_name(component)}: draws from torch's global generator; use problem.generator()"


def _name(component: Component) -> str:
    return type(component).__name__
