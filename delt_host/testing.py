"""What a third party runs to prove that a component keeps its contract: ``delt_host.testing.check(MyMatcher())``.

Each check raises AssertionError with a sentence that says what is wrong; pytest shows it. They run on a small real problem in
a few seconds and need no data of the caller's.
"""

from __future__ import annotations

import copy
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Literal, cast

import tomli_w
import torch
from torch import Tensor

from delt_host.components import (
    Batch,
    Component,
    Cost,
    Distilled,
    Evaluator,
    Initializer,
    Matcher,
    Relabeler,
    Scheduler,
    Start,
    Views,
)
from delt_host.compute import Compute
from delt_host.data.base import RealData
from delt_host.data.digits import Digits
from delt_host.errors import RunError
from delt_host.form import Form
from delt_host.former import now_written
from delt_host.labels import Labels, label_bytes
from delt_host.latents import Latents
from delt_host.models import build_model
from delt_host.network_source import Networks, NetworkSource
from delt_host.options import build
from delt_host.plan import Curve, Group, Phase, Plan
from delt_host.plugins import load_registry
from delt_host.problem import Problem
from delt_host.protocols import Protocol
from delt_host.recover import check_plan, recover_group, recover_stack
from delt_host.resume import Checkpoint
from delt_host.seeding import isolated_rng
from delt_host.sets import check_packed, packed_bytes
from delt_host.squeezer import Squeezer
from delt_host.squeezer_check import check_squeezer
from delt_host.stages.initialize import check_start
from delt_host.taught import Taught, check_contract
from delt_host.teacher import Teacher
from delt_host.train import train_student


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
    _check_is_of_today(component)
    check_options(component)
    for contract, examine in (
        (Initializer, check_initializer),
        (Scheduler, check_scheduler),
        (Matcher, check_matcher),
        (NetworkSource, check_network_source),
        (Relabeler, check_relabeler),
        (Evaluator, check_evaluator),
        (Protocol, check_protocol),
        (Form, check_form),
        (Squeezer, check_squeezer),
    ):
        if isinstance(component, contract):
            with _global_rng_untouched(component):
                examine(component, problem)  # type: ignore[arg-type]
            return
    raise AssertionError(f"{_name(component)} is of no kind that can be checked")


def _check_is_of_today(component: Component) -> None:
    for base in type(component).__mro__:
        said = now_written(base.__name__.lower(), type(component)) if base.__module__.startswith("delt_host.") else ""
        assert not said, f"{_name(component)} {said}"


def check_options(component: Component) -> None:
    """Options survive a recipe file: written as TOML and read again they make an equal component."""
    written = {k: v for k, v in component.model_dump(mode="json").items() if v is not None}
    read = tomllib.loads(tomli_w.dumps(written))
    registry = load_registry() if component.parts else None
    again = build(type(component), read, _name(component), registry)
    assert again == component, f"{_name(component)}: options change on their way through a recipe"
    for option, info in type(component).model_fields.items():
        assert info.description, f"{_name(component)}: option {option!r} has no docstring under it"


def check_initializer(initializer: Initializer, problem: Problem) -> None:
    """So many finite images of each class that is asked for, the same under the same seed, whichever others are asked for."""
    name, every = _name(initializer), range(problem.num_classes)
    first = initializer.initialize(problem, every)
    try:
        check_start(first, problem, len(every))
    except RunError as error:
        raise AssertionError(f"{name}: {error}") from None
    again = initializer.initialize(problem, every)
    assert torch.equal(first.images, again.images), f"{name}: two runs under one seed differ; use problem.generator()"
    some = [every[-1], every[0]]
    alone = initializer.initialize(problem, some).images
    wanted = torch.cat([first.images[problem.targets() == label] for label in some])
    assert torch.equal(alone, wanted), (
        f"{name}: asked for classes {some}, it gives other images than among all; go through the classes that are asked for "
        'in their order, and draw with problem.generator("what for", label)'
    )


def check_scheduler(scheduler: Scheduler, problem: Problem) -> None:
    """A plan of disjoint groups over images that exist, the same every time, unchanged by JSON."""
    name, plan = _name(scheduler), scheduler.plan(problem)
    check_plan(plan, problem.num_units)
    assert scheduler.plan(problem) == plan, f"{name}: two plans for one problem differ"
    assert Plan.model_validate_json(plan.model_dump_json()) == plan, f"{name}: the plan changes when written as JSON"
    counted = sum(phase.active * phase.iterations for group in plan.groups for phase in group.phases)
    assert counted == plan.image_iterations, f"{name}: the plan's cost is not that of its phases"


def check_matcher(matcher: Matcher, problem: Problem) -> None:
    """Finite terms whose gradient reaches the images, the same every time and whichever groups run before."""
    name, plan, start = _name(matcher), _two_groups(problem), Latents.of(problem, _real_start(problem))
    last: dict[int, torch.Tensor] = {}
    for order in ((0, 1), (1, 0)):
        for index in order:
            # The host itself checks the terms' shape, their values and the gradient, as it does in every run.
            made = recover_group(problem, start, plan, index, matcher, lambda _done, _terms: None).latents
            images, before = _flat(made.images), _flat(start.images, plan.groups[index].images)
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
            before = _flat(start.images, plan.groups[index].images)
            far = (_flat(result.latents.images) - last[index]).abs().mean()
            near = far < 0.05 * (last[index] - before).abs().mean()
            assert near, (
                f"{name}: a group's result depends on the group beside it; take statistics per group, or stackable = False"
            )


def check_network_source(source: NetworkSource, problem: Problem) -> None:
    """Networks give logits, require no gradient, and are the same under the same seed and for a group that goes on."""
    name, targets = _name(source), problem.targets()
    images = problem.normalization.normalize(problem.data.train.read(torch.arange(len(targets))))

    def answers(networks: Networks, iterations: range) -> list[Tensor]:
        found = []
        for iteration in iterations:
            network = networks.at(iteration, lambda: (images, targets))
            loose = [each for each, parameter in network.named_parameters() if parameter.requires_grad]
            assert not loose, f"{name}: parameter {next(iter(loose))!r} requires a gradient in iteration {iteration}"
            with torch.no_grad():
                found.append(network(images))
        return found

    first = answers(source.bind(problem, 0), range(4))
    wanted = (len(images), problem.num_classes)
    assert all(tuple(each.shape) == wanted for each in first), f"{name}: logits are not {wanted}"
    assert all(bool(each.isfinite().all()) for each in first), f"{name}: some logits are not finite"
    again = source.bind(problem, 0)
    same = torch.equal(torch.stack(answers(again, range(2))), torch.stack(first[:2]))
    assert same, f"{name}: two runs under one seed differ; use problem.generator()"
    gone_on, state = source.bind(problem, 0), {key: tensor.clone() for key, tensor in again.state().items()}
    gone_on.load(state)
    same = torch.equal(torch.stack(answers(gone_on, range(2, 4))), torch.stack(first[2:]))
    assert same, f"{name}: a group that goes on after a kill has other networks; what lasts belongs into state()"


def views_of(problem: Problem, images: Tensor, targets: Tensor, iteration: int = 0, **others: Any) -> Views:
    """What a matcher is given in an iteration of group 0, for a test of its loss: images (B, 3, S, S), not augmented, and the
    problem's network; `others` replace single fields."""
    given: dict[str, Any] = {
        "images": images,
        "targets": targets,
        "groups": 1,
        "iteration": iteration,
        "generator": partial(problem.generator, "match", 0, iteration),
        "memory": {},
        "index": torch.arange(len(images)),
        "network": problem.network,
        "current": lambda: (images.detach(), targets),
        "augment": lambda real: real,
    }
    return Views(**{**given, **others})


def _flat(tensors: Mapping[str, Tensor], places: Sequence[int] | None = None) -> Tensor:
    """Latents of all units, or of some, as one vector."""
    return torch.cat([(each if places is None else each[list(places)]).flatten() for each in tensors.values()])


def _check_goes_on(name: str, matcher: Matcher, problem: Problem, start: Latents, plan: Plan, expected: Tensor) -> None:
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
        (gone_on,) = recover_stack(problem, start, plan, (0,), matcher, nothing, Kept(list(kept), place))
        assert torch.equal(_flat(gone_on.latents.images), expected), (
            f"{name}: a group that goes on after a kill comes out differently; what lasts from iteration to iteration "
            "belongs into views.memory"
        )


def check_relabeler(relabeler: Relabeler, problem: Problem) -> None:
    """Answers of the right shape, the same each time, that packed take the bytes they say and unpacked have their shape."""
    name, distilled, classes = _name(relabeler), _real_distilled(problem), problem.num_classes
    assert relabeler.asks in ("class", "image", "view"), f"{name}: asks is {relabeler.asks!r}, not class, image or view"
    assert relabeler.asks == "class" or type(relabeler).bind is not Relabeler.bind, f"{name}: bind() is missing"
    labels = Labels(problem, distilled, relabeler)
    said, is_now = label_bytes(relabeler, problem), labels.size_bytes
    assert said == is_now, f"{name}: {said} bytes of labels are foretold, and there are {is_now}"
    if relabeler.asks != "class" and relabeler.stores:
        _check_packing(name, relabeler, classes)
    labels.prepare()
    anew = Labels(problem, distilled, relabeler)
    for epoch in range(problem.protocol.epochs):
        first, again, back = (list(each.epoch(epoch)) for each in (labels, labels, anew))
        for batch in first:
            _check_batch(name, batch, labels, problem)
        assert _same(first, again), f"{name}: epoch {epoch} gives other answers when replayed"
        assert _same(first, back), f"{name}: epoch {epoch} differs where bind() is called again"


def _check_packing(name: str, relabeler: Relabeler, classes: int) -> None:
    answers = torch.linspace(-2, 2, 3 * classes).view(3, classes).softmax(dim=1)
    packed = relabeler.pack(answers if relabeler.kind == "probabilities" else answers.log())
    short = [key for key, tensor in packed.items() if len(tensor) != 3]
    assert not short, f"{name}: pack() of 3 answers gives {short[0]!r} of {len(packed[short[0]])} entries"
    taken, said = (
        sum(tensor.numel() * tensor.element_size() for tensor in packed.values()),
        relabeler.label_bytes(classes),
    )
    assert taken == 3 * said, f"{name}: label_bytes() says {said} an answer, and 3 packed ones take {taken}"
    back = tuple(relabeler.unpack(packed, classes).shape)
    assert back == (3, classes), f"{name}: unpack() gives {back} for 3 answers of {classes} classes"
    assert 1 <= relabeler.epochs(7) <= 7, f"{name}: {relabeler.epochs(7)} of 7 epochs have labels of their own"


def check_protocol(protocol: Protocol, problem: Problem) -> None:
    """A student trains under it for two steps, with a finite loss, to the same bits each time."""
    name = _name(protocol)
    short = problem.under(protocol.model_copy(update={"steps": 2}))
    labels = Labels(short, _real_distilled(short), _OneHot())
    first, again = (train_student(short, labels, "convnet3").curve["loss"] for _ in range(2))
    assert first == again, f"{name}: two students under one seed differ"


def check_evaluator(evaluator: Evaluator, problem: Problem) -> None:
    """Finite scores with the headline among them, facts that JSON can hold, the same every time; of one that is per table
    only that it derives."""
    name, distilled = _name(evaluator), _real_distilled(problem)
    check_contract(evaluator)
    if evaluator.per == "table":
        return  # it needs a run's scores
    taught = None if evaluator.per == "set" else Taught(problem, _OneHot(), distilled)
    first, again = (evaluator.evaluate(problem, distilled, cast("Taught", taught)) for _ in range(2))
    there = ", ".join(first.scores)
    assert evaluator.headline in first.scores, f"{name}: headline {evaluator.headline!r} is not a score ({there})"
    for score, value in first.scores.items():
        assert isinstance(value, float) and math.isfinite(value), f"{name}: score {score!r} is {value!r}"
    json.dumps(first.facts)
    assert first.scores == again.scores, f"{name}: two runs under one seed score differently"


def check_form(form: Form, problem: Problem) -> None:
    """Units that take no more bytes than their images raw, whose gradients reach what is optimised, and that are read back as
    they decode."""
    name, problem = _name(form), problem.in_form(form)
    images = problem.normalization.normalize(_real_start(problem).images)
    latents = {what: each.requires_grad_(True) for what, each in form.latents(images).items()}
    decoded = form.decode(latents)
    wanted = tuple(images.shape)
    assert tuple(decoded.shape) == wanted, f"{name}: decode() gives {tuple(decoded.shape)}, not {wanted}"
    reached = torch.autograd.grad(decoded.square().sum(), list(latents.values()), allow_unused=True)
    assert any(each is not None for each in reached), f"{name}: no gradient passes through decode()"
    packed = form.pack({what: each.detach() for what, each in latents.items()}, problem.normalization)
    try:
        check_packed(form, packed, problem.num_units, problem.image_size)
    except RunError as error:
        raise AssertionError(f"{name}: {error}") from None
    raw, taken = problem.num_classes * problem.ipc * 3 * problem.image_size**2, packed_bytes(packed)
    assert taken <= raw, (
        f"{name}: its units take {taken} bytes, more than {raw}, those of {problem.ipc} raw images a class"
    )
    order = torch.arange(problem.num_images).flip(0)
    read, whole = form.read(packed, order), form.read(packed, order.flip(0))
    assert torch.equal(read.flip(0), whole), f"{name}: read() does not give the images in the order of the indices"


class _OneHot(Relabeler):
    """The class: the plainest labels there are."""

    asks: ClassVar[Literal["class", "image", "view"]] = "class"


def _check_batch(name: str, batch: Batch, labels: Labels, problem: Problem) -> None:
    answers, wanted = batch.answers, (len(batch.index), problem.num_classes)
    assert answers is not None and tuple(answers.shape) == wanted, f"{name}: a batch's answers are not {wanted}"
    assert bool(answers.isfinite().all()), f"{name}: some answers are not finite"
    if labels.kind == "probabilities":
        ones = torch.ones(len(answers))
        assert torch.allclose(answers.sum(dim=1), ones, atol=1e-3), f"{name}: probabilities do not sum to 1"


def _same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(x, y) for a, b in pairs for x, y in zip(_tensors(a), _tensors(b), strict=True))


def _tensors(batch: Batch) -> list[Tensor]:
    return [tensor for tensor in vars(batch).values() if tensor is not None]


def _two_groups(problem: Problem) -> Plan:
    """Three iterations each over the first and the second half of the images."""
    rates, crop = {"images": Curve.constant(0.05)}, Curve.constant(0.5)
    half = problem.num_units // 2
    groups = tuple(
        Group(images=units, phases=(Phase(active=len(units), iterations=3, rates=rates, min_crop=crop),))
        for units in (tuple(range(half)), tuple(range(half, problem.num_units)))
    )
    return Plan(groups=groups)


def _real_start(problem: Problem) -> Start:
    """The first images of every class."""
    places = [problem.data.train.of_class(label)[: problem.count] for label in range(problem.num_classes)]
    return Start(problem.data.train.read(torch.cat(places)))


def _real_distilled(problem: Problem) -> Distilled:
    return Distilled.of(_real_start(problem).images, problem.targets(), Cost())


@contextmanager
def _global_rng_untouched(component: Component) -> Iterator[None]:
    before = torch.random.get_rng_state()
    yield
    moved = not torch.equal(before, torch.random.get_rng_state())
    assert not moved, f"{_name(component)}: draws from torch's global generator; use problem.generator()"


def _name(component: Component) -> str:
    return type(component).__name__
