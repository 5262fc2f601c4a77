"""Checkpoints under the names of published repositories become ours: the same logits, or a sentence that leads on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bare_modules import bare_module
from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import build_model
from delt_host.networks.fitted import fit_state
from delt_plugins.networks.plugin import delt_models
from delt_plugins.teachers.published_names import as_ours
from made_inputs import set_weights, waves
from published import golden

MODELS = delt_models()
CASES = {  # golden file and name there: ours, classes, pixels, what the note names
    ("edc", "ResNet18"): ("resnet18", 10, 32, "kuangliu"),
    ("edc", "ConvNetW128"): ("convnet3_in", 10, 32, ""),
    ("edc", "MobileNetV2"): ("mobilenet_v2_half", 10, 32, ""),
    ("edc", "WRN_16_2"): ("wrn_16_2", 10, 32, "Wide ResNets of G-VBSM"),
    ("edc", "ShuffleNetV2_0_5"): ("shufflenet_v2_half", 10, 32, "ShuffleNet-V2"),
    ("edc", "ConvNetD1"): ("convnet1_in", 10, 32, ""),
    ("edc", "ConvNetD2"): ("convnet2_in", 10, 32, ""),
    ("edc", "ConvNetW32"): ("convnet3_in_w32", 10, 32, ""),
    ("rded", "conv3"): ("convnet3", 10, 32, "RDED's and DELT's ConvNets"),
    ("rded", "conv4"): ("convnet4", 200, 64, "RDED's and DELT's ConvNets"),
    ("rded", "conv5"): ("convnet5", 10, 128, "RDED's and DELT's ConvNets"),
    ("rded", "conv6"): ("convnet6", 100, 128, "RDED's and DELT's ConvNets"),
    ("delt", "mobilenet_v2_modified, cifar10"): ("mobilenet_v2", 10, 32, "DELT's MobileNet-V2"),
    ("dc", "ConvNetBN"): ("convnet3", 10, 32, ""),
    ("cifar100", "resnet18"): ("resnet18", 100, 32, "weiaicunzai"),
}


def published(repository: str, name: str) -> tuple[dict[str, Tensor], Tensor]:
    """A state dict under the names that the repository's network has, and the logits that it printed with these weights."""
    figures = golden(f"networks_{repository}")
    figures = (figures["Branch_CIFAR_10"] if repository == "edc" else figures)[name]
    module = bare_module(figures["tensors"])
    set_weights(module)
    return module.state_dict(), torch.tensor(figures["logits"])


def built(name: str, classes: int, side: int) -> nn.Module:
    with isolated_rng(0, "test"):
        return build_model(name, classes, side, MODELS)


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_published_names_are_read(case: tuple[str, str]) -> None:
    ours, classes, side, said = CASES[case]
    state, expected = published(*case)
    read, note = as_ours(state, ours, classes, side, MODELS, "c.pth")
    assert said in note if said else not note
    network = built(ours, classes, side)
    fit_state(network, read, "c.pth")
    logits = network.eval()(waves(2, 3, side, side))
    assert torch.allclose(logits[:, : expected.shape[1]], expected, rtol=1e-4, atol=2e-6)


def test_tensors_of_one_shape_that_change_places_are_another_network() -> None:
    """So the test before would see it: RDED's convolutions in the order of equal shapes."""
    state, expected = published("rded", "conv3")
    state["layers.conv.1.weight"], state["layers.conv.2.weight"] = (
        state["layers.conv.2.weight"],
        state["layers.conv.1.weight"],
    )
    network = built("convnet3", 10, 32)
    fit_state(network, as_ours(state, "convnet3", 10, 32, MODELS, "c.pth")[0], "c.pth")
    with torch.no_grad():
        assert not torch.allclose(network.eval()(waves(2, 3, 32, 32))[:, :5], expected, rtol=1e-2, atol=1e-3)


def test_ours_and_those_of_libraries_stay_as_they_are() -> None:
    for name in ("resnet18", "torchvision:resnet18", "timm:resnet18"):
        state = built(name, 10, 64).state_dict()
        read, note = as_ours(state, name, 10, 64, MODELS, "c.pth")
        assert read.keys() == state.keys() and not note


def error_of(state: dict[str, Any], name: str, classes: int = 10, side: int = 32) -> str:
    with pytest.raises(InputError) as caught:
        as_ours(state, name, classes, side, MODELS, "c.pth")
    return str(caught.value)


def test_what_does_not_fit_names_keys_of_both_sides_and_what_would_do() -> None:
    state, _ = published("rded", "conv3")
    wrong = error_of(state, "convnet4")
    assert "c.pth (by the names of RDED's and DELT's ConvNets) do not fit" in wrong
    assert "missing features.12.weight" in wrong and wrong.endswith("they fit --model convnet3")
    unknown = {name.replace("layers.", "steps."): tensor for name, tensor in state.items()}
    said = error_of(unknown, "convnet3")
    assert (
        "missing features.0.weight" in said and "unexpected steps.conv.0.weight" in said and "fit --model" not in said
    )
    large = built("torchvision:resnet18", 10, 32).state_dict()
    assert error_of(large, "resnet18").endswith("they fit --model torchvision:resnet18 or timm:resnet18")
    assert "of another shape fc.weight (10, 512) for (7, 512)" in error_of(
        built("resnet18", 10, 32).state_dict(), "resnet18", 7
    )
    assert "unexpected n_averaged" in error_of({**state, "n_averaged": torch.tensor(1)}, "convnet3")
