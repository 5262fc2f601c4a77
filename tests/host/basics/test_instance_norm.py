"""Instance norms on a CPU: torch's values and derivatives, in channels_last, and nobody else's layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from delt_host.basics.compute import Compute
from delt_host.basics.instance_norm import ByChannel
from delt_host.basics.seeding import isolated_rng
from delt_plugins.networks.convnet import convnet3_in

CPU = Compute(device="cpu", precision="bf16")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def norm(placed: bool) -> nn.GroupNorm:
    layer = nn.GroupNorm(6, 6)
    with torch.no_grad():
        layer.weight.copy_(drawn(6, seed=1))
        layer.bias.copy_(drawn(6, seed=2))
    if placed:
        CPU.place(layer)
    return layer


def derivatives(layer: nn.GroupNorm, maps: Tensor) -> list[Tensor]:
    """The value, the gradients of a loss, and those of their squares."""
    maps = maps.to(memory_format=torch.channels_last).requires_grad_(True)
    found = layer(maps)
    inputs = [maps, layer.weight, layer.bias]
    first = torch.autograd.grad((found.float() ** 3).sum(), inputs, create_graph=True)
    second = torch.autograd.grad(torch.cat([each.float().flatten() ** 2 for each in first]).sum(), inputs)
    return [found.detach(), *(each.detach() for each in (*first, *second))]


def test_values_and_two_derivatives_are_those_of_torch_in_float32_but_for_rounding() -> None:
    maps = drawn(4, 6, 5, 3).bfloat16()
    wanted, found = derivatives(norm(False), maps.float()), derivatives(norm(True), maps)
    for of_torch, ours in zip(wanted, found, strict=True):
        assert (ours.float() - of_torch).norm() < 0.03 * of_torch.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_types_go_through_torch_untouched(dtype: torch.dtype) -> None:
    maps, layer = drawn(2, 6, 4, 4).to(dtype).to(memory_format=torch.channels_last), norm(True).to(dtype)
    assert torch.equal(layer(maps), nn.functional.group_norm(maps, 6, layer.weight, layer.bias))


def test_maps_come_back_in_channels_last() -> None:
    for maps in (drawn(2, 6, 4, 4), drawn(2, 6, 4, 4).to(memory_format=torch.channels_last)):
        assert norm(True)(maps.bfloat16()).is_contiguous(memory_format=torch.channels_last)


def test_torch_gets_bf16_maps_channel_by_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, torchs = [], nn.functional.group_norm
    monkeypatch.setattr(nn.functional, "group_norm", lambda maps, *more: seen.append(maps) or torchs(maps, *more))
    maps = drawn(2, 6, 4, 4).to(memory_format=torch.channels_last)
    norm(True)(maps.bfloat16())
    norm(True)(maps)
    assert [each.is_contiguous() for each in seen] == [True, False]


def test_gradients_of_each_image_by_vmap_are_those_one_after_the_other() -> None:
    with isolated_rng(0):
        network = CPU.place(nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(6, 6), nn.Flatten(), nn.Linear(24, 2)))
    images, weights = drawn(3, 1, 3, 4, 4), dict(network.named_parameters())

    def loss(weights: dict[str, Tensor], image: Tensor) -> Tensor:
        with CPU.autocast():
            return functional_call(network, weights, (image,)).float().square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(weights, images)
    for place, image in enumerate(images):
        for name, wanted in grad(loss)(weights, image).items():
            torch.testing.assert_close(found[name][place], wanted, rtol=0.1, atol=0.05)


def test_a_placed_network_has_the_same_names_and_is_copied() -> None:
    with isolated_rng(0):
        network = convnet3_in(10, 32)
    names = list(network.state_dict())
    placed = CPU.place(network)
    assert sum(type(each) is ByChannel for each in placed.modules()) == 3
    assert list(placed.state_dict()) == names
    images = drawn(2, 3, 32, 32).to(memory_format=torch.channels_last)
    with CPU.autocast():
        assert torch.equal(copy.deepcopy(placed)(images), placed(images))


def test_larger_groups_and_classes_of_others_stay() -> None:
    class Conditional(nn.GroupNorm):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) * 2

    placed = CPU.place(nn.Sequential(Conditional(4, 4), nn.GroupNorm(2, 4)))
    assert [type(each) for each in placed.children()] == [Conditional, nn.GroupNorm]


def test_who_hooks_the_layer_is_called_with_its_maps() -> None:
    layer, seen = norm(False), []
    layer.register_forward_hook(lambda _layer, given, found: seen.append((given[0], found)))
    maps = drawn(2, 6, 4, 4).bfloat16()
    found = CPU.place(layer)(maps)
    assert [(given is maps, out is found) for given, out in seen] == [(True, True)]
