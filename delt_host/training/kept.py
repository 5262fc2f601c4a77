"""What a training that was stopped needs to go on to the same bits: the state of networks and of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

Scalar = int | float | str | None  # bool is an int


def state_of(
    networks: Mapping[str, nn.Module], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Copies of all weights and buffers and of the optimizer's state; None where that holds more than tensors and scalars.

    Names of networks have no dot, and none is `optimizer`.
    """
    tensors = {
        f"{called}.{name}": tensor.detach().clone()  # two names of one tensor are no longer one
        for called, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    scalars: dict[str, Scalar] = {}
    for place, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{place}.{name}"] = value.detach().clone()
            elif isinstance(value, Scalar):
                scalars[f"{place}.{name}"] = value
            else:
                return None
    groups = [
        {name: value for name, value in group.items() if isinstance(value, Scalar)} for group in optimizer.param_groups
    ]
    return tensors, {"scalars": scalars, "groups": groups}


def put_back(
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Give networks and optimizer the state that `state_of` took from ones that were built alike."""
    for called, network in networks.items():
        own = f"{called}."
        network.load_state_dict({n.removeprefix(own): t for n, t in tensors.items() if n.startswith(own)})
    parameters = _parameters(optimizer)
    for full, tensor in tensors.items():
        if full.startswith("optimizer."):
            _, place, name = full.split(".", 2)
            parameter = parameters[int(place)]
            optimizer.state[parameter][name] = _placed(name, tensor, parameter)
    for full, value in facts["scalars"].items():
        place, name = full.split(".", 1)
        optimizer.state[parameters[int(place)]][name] = value
    for group, kept in zip(optimizer.param_groups, facts["groups"], strict=True):
        group.update(kept)


def _placed(name: str, tensor: Tensor, parameter: nn.Parameter) -> Tensor:
    """A copy where the optimizer had it: counters of steps on the CPU, the rest beside its parameter and laid out like it."""
    if name == "step" or tensor.ndim == 0:
        return tensor.clone()
    if tensor.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
    return tensor.to(parameter.device, copy=True)


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
