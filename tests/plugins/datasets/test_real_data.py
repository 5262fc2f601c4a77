"""Real images: parts of CIFAR-10 and Tiny-ImageNet, and a squeezed teacher, where a checkout has them beside it."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from conftest import DATASETS, ROOT
from delt_host.cli import cli

SHARED = Path(os.environ.get("DELT_HOST_SHARED", ROOT.parent / "shared"))


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs real data: {name} is not beside the checkout (set DELT_HOST_SHARED to its folder)")
    return path


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    """A file of the archive below `root`. Python before 3.11.4 has no extraction filters, and later ones ask for one."""
    content, target = tar.extractfile(member), root / member.name
    assert content is not None and target.resolve().is_relative_to(root.resolve())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content.read())


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty training and thirty test images of each class of CIFAR-10, in class folders."""
    archive = shared("data/cifar10-jpeg.tar.xz")
    root = tmp_path_factory.mktemp("cifar")
    taken: dict[str, int] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            folder = str(Path(member.name).parent)
            limit = 60 if "/train/" in member.name else 30
            if member.isfile() and taken.get(folder, 0) < limit:
                taken[folder] = taken.get(folder, 0) + 1
                extract(tar, member, root)
    return root / "cifar10-jpeg"


def test_cifar_10(cifar: Path) -> None:
    data = DATASETS["folder"](path=str(cifar)).load()  # type: ignore[call-arg]
    assert data.class_names[0] == "airplane" and data.class_names[9] == "truck"
    assert (data.image_size, len(data.train), len(data.test)) == (32, 600, 300)
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.03)


def test_tiny_imagenet(tmp_path: Path) -> None:
    with tarfile.open(shared("data/tiny-imagenet-20.tar.xz")) as tar:
        for member in filter(tarfile.TarInfo.isfile, tar):
            extract(tar, member, tmp_path)
    data = DATASETS["tiny-imagenet"](root=str(tmp_path / "tiny-imagenet-20")).load()  # type: ignore[call-arg]
    assert (data.num_classes, len(data.train), len(data.test), data.image_size) == (20, 10_000, 1_000, 64)
    assert torch.bincount(data.test.targets).tolist() == [50] * 20
    assert any("grey" in note for note in data.notes)


def test_a_published_state_dict_becomes_a_teacher_and_ranks_real_images(cifar: Path, tmp_path: Path) -> None:
    weights = shared("teachers/cifar10-jpeg-resnet18-e8.safetensors")
    runner = CliRunner()
    out = tmp_path / "teacher.safetensors"
    arguments = ["import-teacher", str(weights), "--model", "resnet18", "--dataset", f"folder:{cifar}"]
    statistics = ["--mean", "0.4914,0.4822,0.4465", "--std", "0.2023,0.1994,0.2010"]
    result = runner.invoke(cli, [*arguments, *statistics, "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    accuracy = float(result.output.partition("top-1 ")[2].partition(" %")[0])
    assert 80 < accuracy < 92  # 86.1 on all of CIFAR-10's test images
    run = ["run", "-m", "delt", "--dataset", f"folder:{cifar}", "--teacher", str(out), "--ipc", "1", "--seeds", "1"]
    tiny = ["--set", "scheduler.iterations=8", "--set", "protocol.epochs=1", "--student", "convnet3", "-q"]
    result = runner.invoke(cli, [*run, *tiny, "--no-controls", "--out", str(tmp_path / "run")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "delt" / "seed-0" / "distilled.safetensors").is_file()
