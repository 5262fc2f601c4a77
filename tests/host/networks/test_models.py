"""Networks by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import build_model, pretrained_model
from delt_host.networks.fitted import fit_state
from delt_plugins.networks.plugin import delt_models


def build(name: str, num_classes: int = 10, image_size: int = 32) -> nn.Module:
    with isolated_rng(0, "test"):
        return build_model(name, num_classes, image_size, delt_models())


@pytest.mark.parametrize(("depth", "size", "features"), [(3, 32, 2048), (4, 64, 2048), (5, 128, 2048), (6, 128, 512)])
def test_convnets_have_the_published_number_of_features(depth: int, size: int, features: int) -> None:
    assert build(f"convnet{depth}", 10, size).classifier.in_features == features  # type: ignore[union-attr]


def test_resnet_stems_follow_the_image_size() -> None:
    small, large = build("resnet18", 10, 32), build("resnet18", 10, 224)
    assert small.conv1.kernel_size == (3, 3) and isinstance(small.maxpool, nn.Identity)
    assert large.conv1.kernel_size == (7, 7) and isinstance(large.maxpool, nn.MaxPool2d)
    assert sum(p.numel() for p in small.parameters()) == 11_173_962


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet101", 32),
        ("mobilenet_v2", 64),
        ("shufflenet_v2_x0_5", 32),
        ("vgg11_bn", 32),
        ("googlenet", 64),
        ("torchvision:resnet18", 64),
        ("timm:resnet10t", 32),
        ("vit_tiny_patch16_224", 32),
    ],
)
def test_any_classifier_by_name(name: str, size: int) -> None:
    network = build(name, 7, size)
    with torch.no_grad(), isolated_rng(0, "dropout"):
        assert network.train()(torch.randn(2, 3, size, size)).shape == (2, 7)


def test_plugins_add_models() -> None:
    built = build_model("mine", 3, 8, {"mine": lambda n, s: nn.Sequential(nn.Flatten(), nn.Identity(), _Sum(n))})
    assert isinstance(built, nn.Sequential)


class _Sum(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(1, keepdim=True).expand(-1, self.classes)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet81", 32, "unknown model 'resnet81'; nearest: resnet18"),
        ("convnet4", 8, "convnet4 halves the image 4 times and needs at least 16 px, not 8"),
        ("alexnet", 32, "model alexnet cannot take 32 px images"),
        ("timm:no_such_net_at_all", 32, "unknown model 'timm:no_such_net_at_all'"),
    ],
)
def test_models_that_cannot_be(name: str, size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name, 10, size)


def test_pretrained_weights_through_torchvisions_own_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where torch's download would have put it is used as it is; without one the error says where to put it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", _refuse)
    with pytest.raises(
        InputError, match=r"could not be fetched \(no network\); put the file at .*resnet18-f37072fd.pth"
    ):
        pretrained_model("resnet18", "IMAGENET1K_V1")
    with isolated_rng(0, "test"):
        state = build_model("torchvision:resnet18", 1000, 224).state_dict()
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
        torch.save(state, tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
        network, categories = pretrained_model("resnet18", "IMAGENET1K_V1")
    assert torch.equal(network.state_dict()["fc.weight"], state["fc.weight"])
    assert len(categories) == 1000
    with pytest.raises(InputError, match="resnet18 has no weights 'V7' .known: DEFAULT, IMAGENET1K_V1"):
        pretrained_model("resnet18", "V7")


def _refuse(*_args: object, **_options: object) -> None:
    raise OSError("no network")


def test_another_number_of_classes_is_told() -> None:
    with pytest.raises(InputError, match=r"of another shape classifier.weight \(7, 128\) for \(10, 128\)"):
        fit_state(build("convnet3", 10, 8), build("convnet3", 7, 8).state_dict(), "x")
