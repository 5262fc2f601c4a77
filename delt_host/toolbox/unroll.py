"""Training unrolled: where some steps of plain SGD lead, as a function of what the network is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from delt_host.toolbox.calls import Parameters
from delt_host.toolbox.gradients import with_gradient


def unrolled(
    loss: Callable[[Parameters, int], Tensor],
    start: Parameters,
    steps: int,
    rate: Tensor | float,
    recorded: int | None = None,
) -> Parameters:
    """Parameters after `steps` steps of SGD on ``loss(parameters, step)``, differentiable through the last `recorded` of them.

    None: through all. `rate` is a number, or () where it is learned. `start` requires gradients, as `parameters` gives it.
    Memory grows with the steps that are recorded (back-propagation through time, truncated as in RaT-BPTT, Feng et al., ICLR
    2024, arXiv 2311.07025).
    """
    now, first = start, steps - (steps if recorded is None else min(recorded, steps))
    for step in range(steps):
        record = step >= first
        if not record or step == first > 0:
            now = {name: each.detach().requires_grad_(True) for name, each in now.items()}
        gradients = torch.autograd.grad(loss(now, step), list(now.values()), create_graph=record)
        taken = rate if record or not isinstance(rate, Tensor) else rate.detach()
        now = {name: each - taken * g for (name, each), g in zip(now.items(), gradients, strict=True)}
    return now


def distance_after(
    loss: Callable[[Parameters, Sequence[Tensor], int], Tensor],
    inputs: Sequence[Tensor],
    start: Parameters,
    target: Parameters,
    steps: int,
    rate: Tensor | float,
) -> Tensor:
    """``||theta_N - target||^2 / ||start - target||^2`` () after N steps of SGD on ``loss(parameters, inputs, step)``.

    With gradients to the inputs, and to the `rate` where it is a tensor (), in memory that does not grow with N: each step's
    gradient is a function of the inputs at parameters held constant, so that what later steps owe to earlier ones is left out
    (TESLA, Cui et al., ICML 2023, arXiv 2211.10586, section 3). Steps are taken twice, first to know their sum, then to
    differentiate each.
    """
    alpha = torch.as_tensor(rate).detach()
    leaves = [each.detach().requires_grad_(True) for each in inputs]
    names = list(start)

    def gradients(now: list[Tensor], step: int, graph: bool) -> tuple[Tensor, ...]:
        held = [each.detach().requires_grad_(True) for each in now]
        return torch.autograd.grad(loss(dict(zip(names, held, strict=True)), leaves, step), held, create_graph=graph)

    first, goal = ([each[name].detach() for name in names] for each in (start, target))
    total, now = [torch.zeros_like(each) for each in first], first
    for step in range(steps):
        found = gradients(now, step, graph=False)
        total = [t + g for t, g in zip(total, found, strict=True)]
        now = [each - alpha * g for each, g in zip(now, found, strict=True)]
    left = [each - g for each, g in zip(now, goal, strict=True)]
    whole = _squared([a - b for a, b in zip(first, goal, strict=True)])
    value = _squared(left) / whole
    pull = [-2 * alpha * each / whole for each in left]  # the value's gradient to the sum of all steps' gradients
    sums, now = [torch.zeros_like(each) for each in leaves], first
    for step in range(steps):
        found = gradients(now, step, graph=True)
        share = torch.stack([(p * g).sum() for p, g in zip(pull, found, strict=True)]).sum()
        owed = torch.autograd.grad(share, leaves, allow_unused=True)
        sums = [s if g is None else s + g for s, g in zip(sums, owed, strict=True)]
        now = [each - alpha * g.detach() for each, g in zip(now, found, strict=True)]
    given = dict(zip(inputs, sums, strict=True))
    if isinstance(rate, Tensor):
        given[rate] = torch.stack([(-2 * each * t).sum() for each, t in zip(left, total, strict=True)]).sum() / whole
    return with_gradient(value, given)


def _squared(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack([each.square().sum() for each in parts]).sum()
