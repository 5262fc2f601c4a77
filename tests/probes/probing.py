"""What the probes share: a small problem with a network of one layer of convolutions, and plans of one group."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from delt_host.basics.seeding import generator, isolated_rng
from delt_host.contracts.dataset import MemorySplit
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.plan import Curve, Group, Learned, Phase, Plan
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import Recovered, recover_stack
from delt_host.store.resume import Checkpoint
from delt_plugins.datasets.digits import Digits
from delt_plugins.kit import small_problem

MODEL = "tiny"


def tiny(classes: int, size: int) -> nn.Module:
    last = nn.Linear(6 * (size // 2) ** 2, classes)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.GroupNorm(6, 6), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), last
    )


def tiny_problem(ipc: int, form: Form | None = None) -> Problem:
    """Two hundred of the digits at 8 px."""
    data, few = Digits(image_size=8).load(), torch.arange(200)
    problem = small_problem(ipc)
    problem.models[MODEL] = tiny
    split = MemorySplit(data.train.read(few), data.train.targets[few])
    return Problem(**{**vars(problem), "data": type(data)(**{**vars(data), "train": split})}).in_form(form or Pixels())


def begun(problem: Problem) -> Latents:
    """The first real images of every class, as what is optimised."""
    places = torch.cat([problem.data.train.of_class(label)[: problem.count] for label in range(problem.num_classes)])
    return Latents(problem.form.latents(real(problem, places)), problem.unit_targets())


def plan_of(
    problem: Problem, iterations: int, learns: tuple[Learned, ...], rates: dict[str, float], **more: object
) -> Plan:
    """One group of all units, not cropped, with DSA's mirror; `turns` among `more`."""
    turns = {"turns": more.pop("turns")} if "turns" in more else {}
    curves = {what: Curve.constant(rate) for what, rate in rates.items()}
    phase = Phase(active=problem.num_units, iterations=iterations, rates=curves, **turns)
    group = Group(images=tuple(range(problem.num_units)), phases=(phase,))
    return Plan(groups=(group,), learns=learns, crop="none", flip=False, siamese="flip", **more)


def network(problem: Problem, iteration: int) -> nn.Module:
    """The network that sources draw in an iteration of group 0."""
    with isolated_rng(problem.seed, "networks", 0, iteration, "weights"):
        return tiny(problem.num_classes, problem.image_size)


def draws_of(problem: Problem, *purpose: str | int) -> torch.Generator:
    return generator(problem.seed, *purpose)


def mirrored(problem: Problem, *place: int) -> bool:
    """Whether a step's draw mirrors: one operation is drawn out of one, then its three numbers."""
    rng = draws_of(problem, "siamese", 0, *place)
    torch.randint(1, (1,), generator=rng)
    return float(torch.rand(1, 3, generator=rng)[0, 0]) < 0.5


def real(problem: Problem, indices: Tensor) -> Tensor:
    mean, std = (torch.tensor(of).view(1, 3, 1, 1) for of in (problem.teacher.mean, problem.teacher.std))
    return (problem.data.train.read(indices).float() / 255 - mean) / std


def bounds(problem: Problem) -> tuple[Tensor, Tensor]:
    mean, std = (torch.tensor(of).view(1, 3, 1, 1) for of in (problem.teacher.mean, problem.teacher.std))
    return -mean / std, (1 - mean) / std


def recovered(problem: Problem, start: Latents, plan: Plan, matcher: Matcher) -> Recovered:
    return recover_stack(problem, start, plan, (0,), matcher, lambda _done, _terms: None)[0]


class Killed(BaseException):
    """What a kill is to the code it hits."""


def check_goes_on(
    problem: Problem, start: Latents, plan: Plan, matcher: Matcher, path: Path, expected: Latents
) -> None:
    """Killed after every second iteration, the group ends with the same bits."""

    def dies(advances: int) -> object:
        left = [None] * advances

        def progress(_done: int, _terms: object) -> None:
            if not left:
                raise Killed
            left.pop()

        return progress

    for _ in range(2):
        with pytest.raises(Killed):
            # Going on tells what was done before: an advance more than the iterations that follow.
            recover_stack(problem, start, plan, (0,), matcher, dies(2), Checkpoint(path, every=0))  # type: ignore[arg-type]
    assert path.is_file()
    silent = dies(10**6)
    (again,) = recover_stack(problem, start, plan, (0,), matcher, silent, Checkpoint(path, every=0))  # type: ignore[arg-type]
    assert torch.equal(again.latents.images["images"], expected.images["images"])
    if expected.labels is not None:
        assert again.latents.labels is not None and torch.equal(again.latents.labels, expected.labels)
