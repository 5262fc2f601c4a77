"""Networks by name, and checkpoints that are not trusted."""

from __future__ import annotations

import argparse
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.networks.build import build_model, pretrained_model
from delt_host.networks.fitted import fit_state
from delt_plugins.networks.plugin import delt_models
from delt_plugins.teachers import checkpoint, checkpoint_reader
from delt_plugins.teachers.checkpoint import read_checkpoint


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


def test_small_mobilenet_halves_three_times() -> None:
    network = build("mobilenet_v2")
    with torch.inference_mode():
        assert network.eval().features(torch.zeros(1, 3, 32, 32)).shape[-2:] == (5, 5)  # 34, 17, 9, 5


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


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code without a process of its own, which takes seconds to start."""

    def converted(path: Path, result: Path) -> str:
        return checkpoint_reader.convert(str(path), str(result))

    monkeypatch.setattr(checkpoint, "_converted", converted)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoints_are_unwrapped(tmp_path: Path, wrap: object, prefix: str) -> None:
    state = build("convnet3", 10, 8).state_dict()
    torch.save(wrap({prefix + name: t for name, t in state.items()}), tmp_path / "c.pth")  # type: ignore[operator]
    read = read_checkpoint(tmp_path / "c.pth")
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.target), "w"))


FORMS = {"zip.pth": torch.save, "raw.pth": lambda thing, path: path.write_bytes(pickle.dumps(thing))}


@pytest.mark.parametrize("name", FORMS)
def test_a_malicious_checkpoint_is_refused_and_does_nothing(
    tmp_path: Path, name: str, request: pytest.FixtureRequest
) -> None:
    if name == "raw.pth":  # one of the two in the process of its own
        request.getfixturevalue("in_this_process")
    target = tmp_path / "harm"
    FORMS[name]({"state_dict": Malicious(target)}, tmp_path / name)
    with pytest.raises(InputError, match=f"{name} cannot be read: it (holds an object of|is no file of tensors)"):
        read_checkpoint(tmp_path / name)
    assert not target.exists()


def test_a_checkpoint_is_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    """Which imports nothing of the folder that the user is in."""
    (tmp_path / "torch.py").write_text("raise SystemExit('the wrong torch')")
    state = build("convnet3", 10, 8).state_dict()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "c.pth")
    read = read_checkpoint(tmp_path / "c.pth")
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.usefixtures("in_this_process")
def test_checkpoints_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "missing.pth")
    (tmp_path / "broken.pth").write_bytes(b"PK\x03\x04 not a zip")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 20)
    for name in ("broken.pth", "broken.safetensors"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            read_checkpoint(tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match="holds no tensors"):
        read_checkpoint(tmp_path / "empty.pth")
    safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="missing features.0.weight, .*unexpected x"):
        fit_state(build("convnet3", 10, 8), read_checkpoint(tmp_path / "other.safetensors"), "other.safetensors")


def alone(value: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"w": value}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (lambda: alone(torch.zeros(1).expand(750_000_000)), "up to 'w' would take 3,000,000,000 bytes"),
        (lambda: alone(torch.empty(10**12, device="meta")), "'w' is meta"),
        (lambda: alone(torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (10**9,))), "'w' is sparse"),
        (lambda: alone(torch.zeros(2, dtype=torch.complex64)), "'w' is complex"),
        (lambda: {"w": torch.zeros(2), "args": argparse.Namespace(a=1)}, "holds an object of argparse.Namespace"),
    ],
    ids=["stride 0", "meta", "sparse", "complex", "object"],
)
def test_tensors_that_say_more_than_they_hold_are_refused(tmp_path: Path, held: Any, reason: str) -> None:
    torch.save(held(), tmp_path / "c.pth")
    with pytest.raises(InputError, match=reason) as caught:
        read_checkpoint(tmp_path / "c.pth")
    assert "weights_only" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.usefixtures("in_this_process")
def test_tied_weights_loops_and_packed_files(tmp_path: Path) -> None:
    value = torch.randn(10, 10, generator=torch.Generator().manual_seed(0))
    torch.save({"a": value, "b": value}, tmp_path / "tied.pth")
    assert set(read_checkpoint(tmp_path / "tied.pth")) == {"a", "b"}
    loop: dict[str, Any] = {}
    loop["model"] = loop
    torch.save(loop, tmp_path / "loop.pth")
    (tmp_path / "nothing.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>\x1b[1m")
    torch.save(alone(torch.zeros(10_000_000)), tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    for name, reason in {
        "loop": "holds no tensors", "nothing": "it is empty", "page": "no file of tensors", "packed": "unpacks to more",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=reason):
            read_checkpoint(tmp_path / f"{name}.pth")


class Large:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return bytearray, (10**10,)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_the_reading_process_takes_no_more_than_the_file_may(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2), "x": Large()}, tmp_path / "c.pth")
    with pytest.raises(InputError, match="it takes more memory than a file of its size may"):
        read_checkpoint(tmp_path / "c.pth")


def test_another_number_of_classes_is_told() -> None:
    with pytest.raises(InputError, match=r"of another shape classifier.weight \(7, 128\) for \(10, 128\)"):
        fit_state(build("convnet3", 10, 8), build("convnet3", 7, 8).state_dict(), "x")
