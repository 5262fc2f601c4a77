"""What the conformance kit asks of a matcher."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from delt_host import Checkpoint, Matcher, Plan, Problem, RunError
from delt_host.workshop import Latents, recover_group, recover_stack
from delt_plugins.kit.small import real_start, two_groups, views_of

ITERATIONS = 14
"""What goes wrong late, a division by what a schedule has run out of, is past the tenth."""
STOPS = (0, 11)
"""The iterations after which a group is killed."""


def results(matcher: Matcher, problem: Problem) -> dict[str, Any]:
    seen, start = problem.seen_by(matcher), Latents.of(problem, real_start(problem))
    made = recover_group(seen, start, two_groups(problem, 3), 0, matcher, _nobody)
    return {"images": _flat(made.latents.images), "terms": made.curves}


def examine(matcher: Matcher, problem: Problem) -> None:
    """Finite terms whose gradient reaches the images, the same every time and whichever groups run before, past the tenth
    iteration; nothing that it is given is changed."""
    name, seen = type(matcher).__name__, problem.seen_by(matcher)
    plan, start = two_groups(problem, ITERATIONS), Latents.of(problem, real_start(problem))
    _check_given(name, matcher, seen)
    last: dict[int, Tensor] = {}
    for order in ((0, 1), (1, 0)):
        for index in order:
            # The host itself checks the terms' shape, their values and the gradient, as it does in every run.
            made = recover_group(seen, start, plan, index, matcher, _nobody).latents
            images, before = _flat(made.images), _flat(start.images, plan.groups[index].images)
            assert not torch.equal(images, before), f"{name}: no image moves, so no gradient reaches the pixels"
            assert bool(images.isfinite().all()), f"{name}: some pixels are not finite after {ITERATIONS} iterations"
            same = index not in last or torch.equal(last[index], images)
            assert same, f"{name}: a group's result depends on the groups before it; keep state inside bind()"
            last[index] = images
    _check_goes_on(name, matcher, seen, start, plan, last[0])
    if matcher.stackable and matcher.networks.stackable:
        for index, result in enumerate(recover_stack(seen, start, plan, (0, 1), matcher, _nobody)):
            before = _flat(start.images, plan.groups[index].images)
            far = (_flat(result.latents.images) - last[index]).abs().mean()
            near = far < 0.05 * (last[index] - before).abs().mean()
            assert near, (
                f"{name}: a group's result depends on the group beside it; take statistics per group, or stackable = False"
            )
    cost = matcher.passes(seen, plan.groups[0].phases[0])
    assert isinstance(cost, int | float) and cost >= 0, f"{name}: passes() gives {cost!r}, not a number of images"


def without_teacher(matcher: Matcher, problem: Problem) -> None:
    try:
        matcher.bind(problem.seen_by(matcher))
    except RunError:  # it says that it asks a teacher
        return


def _check_given(name: str, matcher: Matcher, problem: Problem) -> None:
    """One call outside of the loop, on tensors whose bits are known."""
    targets = problem.targets()
    images = problem.normalization.normalize(real_start(problem).images).requires_grad_(True)
    network = matcher.networks.bind(problem, 0).at(0, lambda: (images.detach(), targets))
    views = views_of(problem, images, targets, network=network)
    before = {"images": images.detach().clone(), "targets": targets.clone(), "index": views.index.clone()}
    match = matcher.bind(problem)
    assert callable(match), f"{name}: bind() gives {type(match).__name__}, not a function of views"
    terms = match(views)
    assert isinstance(terms, Mapping), f"{name}: its loss is a {type(terms).__name__}, not a dict of names to terms"
    for what, each in before.items():
        assert torch.equal(getattr(views, what), each), f"{name}: changes views.{what} in place; work on a copy"
    for what, term in terms.items():
        assert isinstance(what, str), f"{name}: a term's name is {what!r}, not a text"
        assert isinstance(term, Tensor) and term.is_floating_point(), f"{name}: term {what!r} is no float tensor"


def _check_goes_on(name: str, matcher: Matcher, problem: Problem, start: Latents, plan: Plan, expected: Tensor) -> None:
    """Stop the first group after an iteration, and go on with a matcher bound anew."""

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
    recover_stack(problem, start, plan, (0,), matcher, _nobody, Kept(kept, -1))
    for place in STOPS:
        (gone_on,) = recover_stack(problem, start, plan, (0,), matcher, _nobody, Kept(list(kept), place))
        assert torch.equal(_flat(gone_on.latents.images), expected), (
            f"{name}: a group that goes on after a kill comes out differently; what lasts from iteration to iteration "
            "belongs into views.memory"
        )


def _nobody(_done: int, _terms: Mapping[str, float]) -> None:
    """Who is told of progress."""


def _flat(tensors: Mapping[str, Tensor], places: Sequence[int] | None = None) -> Tensor:
    """Latents of all units, or of some, as one vector."""
    return torch.cat([(each if places is None else each[list(places)]).flatten() for each in tensors.values()])
