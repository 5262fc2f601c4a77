"""What is asked of an accelerator, on a pretended one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from delt_host.basics import accelerator
from delt_host.basics.accelerator import moved, multiplies_bf16, widest
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from pretended import KIND, pretended_accelerator


def test_tensors_of_all_types_and_shapes_move_in_one_copy() -> None:
    tensors = [
        torch.tensor([True, False, True]),
        torch.arange(7),
        torch.tensor(2.5, dtype=torch.float64),
        torch.zeros(0, 3),
        torch.arange(120.0).view(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.arange(12, dtype=torch.uint8).view(3, 4).T,
        torch.arange(3).half(),
    ]
    with pretended_accelerator() as counts:
        there = moved(KIND, *tensors)
        assert counts["copies"] == 1
        assert all(each.device.type == KIND for each in there)
        assert [each.dtype for each in there] == [each.dtype for each in tensors]
        assert all(torch.equal(each.cpu(), given) for each, given in zip(there, tensors, strict=True))


def test_a_network_moves_in_one_copy() -> None:
    with isolated_rng(0, "a network"):
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    network.register_buffer("scratch", torch.arange(3.0), persistent=False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with pretended_accelerator() as counts:
        there = Compute(KIND, "fp32").place(network)
        assert counts["copies"] == 1 and counts["waits"] == 0
        assert there.scratch.device.type == KIND
        assert all(each.requires_grad for each in there.parameters())
        assert all(torch.equal(each.cpu(), before[name]) for name, each in there.state_dict().items())


@pytest.mark.parametrize(
    ("tell", "says"),
    [
        (lambda including_emulation=True: including_emulation, False),
        (lambda including_emulation=True: True, True),
        (lambda: True, True),
        (lambda: False, False),
        (None, False),
    ],
)
def test_bf16_that_is_emulated_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tell: Callable[..., bool] | None, says: bool
) -> None:
    module = SimpleNamespace(is_bf16_supported=tell) if tell else SimpleNamespace()
    monkeypatch.setattr(accelerator, "_module", lambda _kind: module)
    assert multiplies_bf16("cuda") is says
    assert not multiplies_bf16("mps")


def test_a_device_without_float64_is_given_none() -> None:
    assert (widest("cpu"), widest("cuda:1"), widest("mps")) == (torch.float64, torch.float64, torch.float32)
    with pretended_accelerator(float64=False), pytest.raises(TypeError, match="no float64"):
        moved(KIND, torch.zeros(2, dtype=torch.float64))
