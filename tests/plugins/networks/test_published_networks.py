"""Networks by our names are those of the repositories: as many parameters, the same logits, weights drawn alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import build_model, check_model
from delt_plugins.networks.plugin import delt_models
from made_inputs import set_weights, waves
from published import golden

MODELS = delt_models()
EDC = {
    "ResNet18": "resnet18",
    "ConvNetW128": "convnet3_in",
    "MobileNetV2": "mobilenet_v2_half",
    "WRN_16_2": "wrn_16_2",
    "ShuffleNetV2_0_5": "shufflenet_v2_half",
    "ConvNetD1": "convnet1_in",
    "ConvNetD2": "convnet2_in",
    "ConvNetW32": "convnet3_in_w32",
    "ResNet50": "resnet50",
}
BRANCHES = {"Branch_CIFAR_10": (10, 32), "Branch_CIFAR_100": (100, 32), "Branch_Tiny_ImageNet": (200, 64)}
RDED = {"conv3": "convnet3", "conv4": "convnet4", "conv5": "convnet5", "conv6": "convnet6"}
RDED |= {f"{name}_modified": name for name in ("resnet18", "resnet101", "mobilenet_v2")}
DC = {"ConvNet": "convnet3_in", "ConvNetBN": "convnet3", "ConvNetD2": "convnet2_in", "ConvNetW32": "convnet3_in_w32"}
OTHER_STEM = {("EDC", "ResNet18"), ("EDC", "ResNet50"), ("weiaicunzai", "resnet18")}
"""Whose first convolution is drawn otherwise: docs/published.md."""


def cases() -> list[Any]:
    """Whose, their name, our name, classes, pixels, figures."""
    found: list[tuple[Any, ...]] = []
    for branch, figures in golden("networks_edc").items():
        found += [("EDC", name, EDC[name], *BRANCHES[branch], about) for name, about in figures.items()]
    for repository in ("rded", "delt"):
        for name, about in golden(f"networks_{repository}").items():
            plain = name.partition(",")[0]
            found.append((repository.upper(), plain, RDED[plain], about["classes"], about["side"], about))
    found += [("DC", name, DC[name], 10, 32, about) for name, about in golden("networks_dc").items()]
    cifar100 = golden("networks_cifar100")
    found.append(("weiaicunzai", "resnet18", "resnet18", 100, 32, cifar100["resnet18"]))
    found.append(("weiaicunzai", "mobilenetv2", "mobilenet_v2", 100, 32, cifar100["mobilenetv2"]))
    return [pytest.param(*case, id=f"{case[0]} {case[1]} {case[3]} classes {case[4]} px") for case in found]


def drawn(network: nn.Module) -> tuple[float, float]:
    """The root mean squares of each layer's weights and biases, averaged over layers."""
    weights = [p.double() for p in network.parameters() if p.ndim > 1]
    biases = [m.bias.double() for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None]
    return (
        sum(w.square().mean().sqrt().item() for w in weights) / len(weights),
        sum(b.square().mean().sqrt().item() for b in biases) / max(len(biases), 1),
    )


@torch.no_grad()
@pytest.mark.parametrize(("whose", "theirs", "ours", "classes", "side", "figures"), cases())
def test_a_network_is_the_published_one(
    whose: str, theirs: str, ours: str, classes: int, side: int, figures: dict[str, Any]
) -> None:
    with isolated_rng(0, "test"):
        network = build_model(ours, classes, side, MODELS)
    assert sum(p.numel() for p in network.parameters()) == figures["parameters"]
    weights, biases = drawn(network)
    if (whose, theirs) not in OTHER_STEM:
        assert weights == pytest.approx(figures["weights drawn"], rel=0.02)
        assert biases == pytest.approx(figures["biases drawn"], rel=0.3, abs=1e-3)  # few, so that they vary
    if theirs in (
        "conv3",
        "conv4",
        "conv5",
        "conv6",
    ):  # their tensors come in another order: teachers/test_published_names.py
        return
    set_weights(network)
    logits = network.eval()(waves(2, 3, side, side))
    expected = torch.tensor(figures["logits"])
    assert torch.allclose(logits[:, : expected.shape[1]], expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", [*EDC, *RDED, *DC, "ConvNetD3", "ConvNetIN", "ResNet101"])
def test_a_published_name_leads_to_ours(name: str) -> None:
    ours = {**EDC, **RDED, **DC, "ConvNetD3": "convnet3_in", "ConvNetIN": "convnet3_in", "ResNet101": "resnet101"}[name]
    with pytest.raises(InputError, match=f"unknown model '{name}': it is {ours} here"):
        check_model(name, MODELS)


def test_every_network_says_what_it_is() -> None:
    assert all(builder.__doc__ for builder in MODELS.values())
