"""``delt-host import-teacher`` of trained networks: under published names, and one that differs where no key tells."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import commands
import delt_host
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.teacher import Teacher

ON_DIGITS = ("--dataset", "digits", "--set", "dataset.image_size=8")
NETS = """
from torch import nn

def plain(classes, side, stem=None):
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), stem or nn.Identity(),
        nn.Conv2d(16, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes),
    )

def pooled(classes, side):
    return plain(classes, side, nn.MaxPool2d(3, 2, 1))
"""


def test_rdeds_names_of_a_trained_convnet(primed: Path, tmp_path: Path) -> None:
    teacher = Teacher.load(primed / "fp32.safetensors")
    theirs = {}
    for key, tensor in teacher.state.items():
        _, place, name = f"{key}..".split(".")[:3]
        kind = ("conv", "norm")[int(place) % 4] if key.startswith("features") else ""
        theirs[f"layers.{kind}.{int(place) // 4}.{name}" if kind else key] = tensor
    torch.save({"model": theirs}, tmp_path / "digits_conv3.pth")
    given = ("import-teacher", "digits_conv3.pth", *ON_DIGITS)
    named = commands.delt_host(*given, "--model", "conv3", cwd=tmp_path)
    assert named.returncode == 2 and "unknown model 'conv3': it is convnet3 here" in named.stderr
    done = commands.delt_host(*given, "--model", "convnet3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "note: digits_conv3.pth: read by the names of RDED's and DELT's ConvNets" in done.stdout
    made = Teacher.load(tmp_path / "digits_conv3.teacher.safetensors")
    assert made.state.keys() == teacher.state.keys()
    assert all(torch.equal(made.state[key], tensor) for key, tensor in teacher.state.items())
    theirs["classifier.bias"][:5] = -100.0  # half of the classes are never said
    torch.save(theirs, tmp_path / "half.pth")
    low = commands.delt_host("import-teacher", "half.pth", *ON_DIGITS, "--model", "convnet3", cwd=tmp_path)
    assert low.returncode == 0, low.stderr
    assert "% is low; if it was more where it was trained: is it a convnet3 as we build it (stride and" in low.stdout


def trained(data: RealData, network: nn.Module, epochs: int) -> nn.Module:
    images = data.train.read(torch.arange(len(data.train))).float() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (data.mean, data.std))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            loss = functional.cross_entropy(network((images[batch] - mean) / std), data.train.targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def test_a_stem_that_pools_is_among_the_suspects(tmp_path: Path) -> None:
    """Its keys and shapes are those of the network without pooling, so that only accuracy tells."""
    (tmp_path / "nets.py").write_text(NETS)
    nets: dict[str, object] = {}
    exec(NETS, nets)
    with isolated_rng(0, "test"):
        network = trained(delt_host.load_data("digits"), nets["pooled"](10, 16), epochs=3)  # type: ignore[operator]
    torch.save(network.state_dict(), tmp_path / "pooled.pth")
    given = ("import-teacher", "pooled.pth", "--dataset", "digits", "--model")
    wrong = commands.delt_host(*given, "./nets.py:plain", cwd=tmp_path)
    said = wrong.stderr + wrong.stdout  # near chance it is refused, a little above there is a note
    assert (
        "is it a nets.py:plain as we build it (stride and max pooling of a stem have no names among the weights" in said
    )
    (tmp_path / "pooled.teacher.safetensors").unlink(missing_ok=True)
    right = commands.delt_host(*given, "./nets.py:pooled", cwd=tmp_path)
    assert right.returncode == 0 and "as we build it" not in right.stdout
    assert Teacher.load(tmp_path / "pooled.teacher.safetensors").accuracy > 80
