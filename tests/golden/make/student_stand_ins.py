"""What the makers of students' figures share: stand-ins for what published training scripts need and figures do not depend on
(a GPU, image folders, other processes, trackers), a tiny student in place of theirs, and a watch on their loops.

A script's own `main` runs with its own optimiser, schedule and averages; its `train` runs on made batches in epoch 0 and is
only looked at afterwards, so that a thousand epochs take no time.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

TESTS = Path(__file__).parents[2]
sys.path.insert(0, str(TESTS))

from made_inputs import tiny_student, tiny_teacher, waves  # noqa: E402

SEEN = ("resnet18", "vit_b_16", "swin_t")
"""The networks of torchvision whose decayed parameters are counted."""


def stand_in() -> None:
    """Make scripts that want GPUs, trackers and process groups run here."""
    for name in ("wandb", "prefetch_generator", "kornia", "einops", "einops.layers", "einops.layers.torch"):
        module = types.ModuleType(name)
        module.__getattr__ = lambda _name: lambda *_args, **_more: None  # type: ignore[method-assign]
        sys.modules.setdefault(name, module)
    Tensor.cuda = lambda self, *_args, **_more: self  # type: ignore[method-assign]
    nn.Module.cuda = lambda self, *_args, **_more: self  # type: ignore[method-assign]
    nn.Module.load_state_dict = lambda *_args, **_more: None  # type: ignore[method-assign]
    nn.DataParallel = lambda model, *_args, **_more: model  # type: ignore[misc]
    nn.parallel.DistributedDataParallel = lambda model, **_more: model  # type: ignore[misc]
    torch.nn.parallel.distributed.DistributedDataParallel = nn.parallel.DistributedDataParallel
    torch.cuda.is_available = lambda: True  # they refuse to start without
    torch.optim.Optimizer._accelerator_graph_capture_health_check = lambda _self: None  # which believes it
    torch.cuda.device_count = lambda: 1
    torch.multiprocessing.set_start_method = lambda *_args, **_more: None
    torch.multiprocessing.spawn = lambda worker, nprocs, args: worker(0, *args)
    torch.cuda.set_device = lambda _device: None
    torch.cuda.amp.autocast = lambda **_more: contextlib.nullcontext()  # type: ignore[misc]
    torch.cuda.amp.GradScaler = lambda: None  # type: ignore[misc]
    torch.distributed.init_process_group = lambda **_more: None
    torch.utils.data.distributed.DistributedSampler = lambda _data, **_more: None  # type: ignore[misc]
    torch.load = lambda *_args, **_more: {"model": {"weight": None}, "state_dict": {}}
    torch.save = lambda *_args, **_more: None
    for name in ("ImageFolder", "CIFAR10", "CIFAR100"):
        setattr(torchvision.datasets, name, Images)
    np.random.beta = lambda *_args: 1.0  # all of the image itself: nothing is mixed


class Images(torch.utils.data.Dataset):
    """In place of a folder of images that nobody reads."""

    def __init__(self, *_args: Any, **_more: Any) -> None:
        self.classes, self.samples = [""] * 10, [("", 0)]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise AssertionError("made batches are read, not these")


class Batches:
    """In place of a loader: made batches, in the form that a script takes them."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches
        self.dataset = self.sampler = types.SimpleNamespace(set_epoch=lambda _epoch: None)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


class Kept(nn.Sequential):
    """A network whose stem scripts cannot replace, as they do with torchvision's."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in ("conv1", "maxpool"):
            super().__setattr__(name, value)


def networks() -> Callable[..., nn.Module]:
    """What builds networks: the student, then teachers."""
    built: list[nn.Module] = []

    def build(*_args: Any, **_more: Any) -> nn.Module:
        built.append(tiny_teacher() if built else tiny_student())
        built[-1].__class__ = Kept
        return built[-1]

    return build


def answers(images: Tensor) -> Tensor:
    """What the tiny teacher says."""
    with torch.no_grad():
        return tiny_teacher()(images)


def stored(images: Tensor, classes: Tensor, *of_patches: Any) -> tuple[Any, ...]:
    """A batch as FKD stores it, with the teacher's answers, of which nothing is mixed."""
    nowhere = [torch.zeros(len(classes), dtype=torch.int64)] * 4
    return images, classes, None, None, *of_patches, torch.arange(len(classes)), 1.0, nowhere, answers(images)


@contextlib.contextmanager
def script(folder: Path, arguments: list[str]) -> Iterator[None]:
    """As if a script were called in its folder, whose modules go before all others."""
    before, place, modules, paths = sys.argv, Path.cwd(), set(sys.modules), list(sys.path)
    sys.argv = ["script", *arguments]
    sys.path[:0] = [str(folder), str(folder.parent)]
    os.chdir(folder)
    try:
        yield
    finally:
        sys.argv = before
        sys.path[:] = paths
        sys.path_importer_cache.clear()
        os.chdir(place)
        for name in set(sys.modules) - modules:  # another branch has modules of the same names
            if (
                str(folder.parent)
                in f"{getattr(sys.modules[name], '__file__', '')}{getattr(sys.modules[name], '__path__', '')}"
            ):
                del sys.modules[name]


def arguments_of(shell: Path) -> list[str]:
    """What a shell script gives its Python script, with folders that are there."""
    text = shell.read_text()
    words = (
        text[text.index("python ") :]
        .partition(" #")[0]
        .replace("\\\n", " ")
        .replace("'", "")
        .replace('"', "")
        .split()[2:]
    )
    there = tempfile.gettempdir()
    for option in ("--train-dir", "--val-dir", "--output-dir"):
        words[words.index(option) + 1] = there
    return words


class Watch:
    """Stands in place of a script's `train` and `validate`: lets the first run once, and notes rates and tested epochs."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.tested: list[int] = []
        self.steps: dict[str, Any] = {}

    def epoch(self, optimizer: torch.optim.Optimizer) -> bool:
        """Note the rate; whether this is the first epoch."""
        self.rates.append(optimizer.param_groups[0]["lr"])
        return len(self.rates) == 1

    def keep(self, images: int, batch: int, loss: float, student: nn.Module) -> None:
        """The first epoch, of so many images in batches of so many, and what the student is after it."""
        self.steps |= {"images": images, "batch": batch, "loss": figure(loss), "student": state(student)}

    def validate(self, _model: nn.Module, _args: Any, epoch: int) -> float:
        self.tested.append(epoch)
        return 0.0

    def figures(self) -> dict[str, Any]:
        last = len(self.rates) - 1
        places = sorted({0, 1, last // 4, last // 2 + 3, last * 5 // 6, last * 5 // 6 + 2, round(last * 0.92), last})
        return {
            "epochs": len(self.rates),
            "rates": {str(place): figure(self.rates[place]) for place in places},
            "tested": [len(self.tested), *self.tested[:2], *self.tested[-2:]],
            **self.steps,
        }


def figure(value: Any) -> Any:
    """Seven digits of a number, or of each of several."""
    if isinstance(value, Tensor):
        value = value.tolist()
    return [figure(one) for one in value] if isinstance(value, list) else float(f"{float(value):.7g}")


def state(network: nn.Module) -> dict[str, Any]:
    """The norm of each parameter and statistic, and what the network says in eval mode to two images."""
    said = {name: figure(t.norm()) for name, t in network.state_dict().items() if t.is_floating_point()}
    training = network.training
    with torch.no_grad():
        said["logits"] = figure(network.eval()(waves(1, 3, 8, 8, pitch=0.29))[0])
    network.train(training)
    return said


def decayed(get_parameters: Callable[[nn.Module], Any]) -> dict[str, list[int]]:
    """Of networks of torchvision: how many tensors have weight decay, and how many there are."""
    counted = {}
    for name in SEEN:
        network = torchvision.models.get_model(name, num_classes=10)
        groups = get_parameters(network)
        free = sum(len(list(group["params"])) for group in groups if group.get("weight_decay") == 0.0)
        counted[name] = [len(list(network.parameters())) - free, len(list(network.parameters()))]
    return counted


def arguments_for(argument: Path, options: list[str]) -> Any:
    """The settings that an `argument.py` of RDED's kind works out."""
    place, before = Path.cwd(), sys.argv
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # RDED's makes a folder
        sys.argv = ["main.py", *options]
        try:
            return runpy.run_path(str(argument))["args"]
        finally:
            sys.argv = before
            os.chdir(place)


def commit(repository: Path) -> str:
    """The checkout's, of the file COMMIT or as git says."""
    said = repository / "COMMIT"
    git = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    return (said.read_text() if said.is_file() else subprocess.check_output(git, text=True)).strip()
