"""What stands in for GPUs, other processes, files and chance when G-VBSM's and EDC's published loops run on a CPU."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))

from made_inputs import FirstOfTwo, ten_classes

MEAN, STD = torch.tensor([0.5071, 0.4867, 0.4408]), torch.tensor([0.2675, 0.2565, 0.2761])
"""The published normalisation of CIFAR."""
CIFAR_IMAGES = 50000


def normalized(pixels: Tensor) -> Tensor:
    return (pixels.float() / 255 - MEAN[:, None, None]) / STD[:, None, None]


class RealImages(torch.utils.data.Dataset[Any]):
    """In place of CIFAR10(…): twenty made images."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        self.pixels, self.targets = ten_classes(20)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return normalized(self.pixels[place : place + 1])[0], int(self.targets[place])


class Watched(torch.optim.Adam):
    """Adam that writes down each step's rate and the gradient's norm, and shows the images."""

    steps: list[dict[str, float]]
    seen: Tensor

    def step(self, closure: Any = None) -> Any:
        (group,) = self.param_groups
        (images,) = group["params"]
        Watched.steps[-1] |= {"rate": group["lr"], "gradient": images.grad.norm().item()}
        result = super().step(closure)
        Watched.seen = images
        return result


@contextmanager
def on_a_cpu() -> Iterator[None]:
    """No GPU, one process, losses written down as they go backward."""
    backward, to = Tensor.backward, Tensor.to

    def noted(loss: Tensor, *args: Any, **options: Any) -> None:
        Watched.steps.append({"loss": loss.item()})
        backward(loss, *args, **options)

    def moved(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        args = tuple(each for each in args if not str(each).startswith("cuda"))
        return to(tensor, *args, **options) if args or options else tensor

    def itself(thing: Any, *_args: Any) -> Any:
        return thing

    loader = torch.utils.data.DataLoader

    def here(*args: Any, **options: Any) -> Any:
        return loader(*args, **{**options, "num_workers": 0})

    Watched.steps = []
    with (
        patch.object(Tensor, "cuda", itself),
        patch.object(nn.Module, "cuda", itself),
        patch.object(Tensor, "backward", noted),
        patch.object(Tensor, "to", moved),
        patch.object(torch.utils.data, "DataLoader", here),
        patch.object(torch.cuda, "set_device", lambda _gpu: None),
        patch.object(torch.cuda, "empty_cache", lambda: None),
    ):
        yield


def published(folder: Path, name: str) -> ModuleType:
    """A module of a branch's folder, whose own networks are not asked for."""
    for other in ("utils", "utils_fkd", name):
        sys.modules.pop(other, None)
    sys.modules["models"] = sys.modules["baseline"] = Anything("stand-in")
    sys.modules.setdefault("prefetch_generator", Anything("prefetch_generator"))
    sys.modules["tiny_in_dataset"] = Anything("tiny_in_dataset")
    sys.path.insert(0, str(folder))
    module = importlib.import_module(name)
    sys.path.remove(str(folder))
    return module


class Anything(ModuleType):
    """A module that has whatever is asked of it: functions that give back what they are given."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **_options: given[0] if given else None


class NoViews:
    """In place of augmentations: the images as they are, one or a pair."""

    def __init__(self, *_args: Any) -> None: ...

    def __call__(self, images: Tensor, *others: Tensor) -> Any:
        return (images, *others) if others else images


def recovered(
    module: ModuleType, networks: list[nn.Module], start: Tensor, verifier: nn.Module | None = None
) -> dict[str, Any]:
    """Each step of a branch's `main_worker` on two images of each of ten classes, and the images at the end.

    No view is drawn, the start is given, and there is one GPU that holds them all. Unless told, the verifier is a network of
    its own, as on ImageNet-1K: elsewhere it is one of the teachers, whose averages it moves.
    """
    options: dict[str, Any] = {
        "rank": 0, "world_size": 1, "dist_backend": "", "dist_url": "", "batch_size": 20, "iteration": 4, "lr": 0.01,
        "jitter": 0, "first_multiplier": 10.0, "r_loss": 0.01, "tau": 4.0, "nuc_norm": 1.0, "l2_scale": 0.0, "tv_l2": 0.0,
        "training_momentum": 0.8, "drop_rate": 0.0, "store_best_images": False, "statistic_path": "statistic",
        "train_data_path": "", "initial_img_dir": "", "flatness": False, "flatness_weight": 1.0, "ema_alpha": 0.99,
        "category_aware": "global", "ipc_number": 2, "aux_teacher": ["first", "second"],
    }  # fmt: skip
    order = iter(start)
    cache = SimpleNamespace(random_img_sample=lambda _target: next(order))

    def gathered(outputs: list[Tensor], tensor: Tensor) -> None:
        outputs[0].copy_(tensor)

    alone = {
        "init_process_group": lambda **_options: None,
        "get_world_size": lambda: 1,
        "get_rank": lambda: 0,
        "all_gather": gathered,
    }
    # Targets are sums divided by the number of CIFAR-10's images, which is a default of the hook's.
    hook = module.ConvFeatureHook.__init__
    hook.__defaults__ = tuple(len(RealImages()) if value == CIFAR_IMAGES else value for value in hook.__defaults__)
    datasets = SimpleNamespace(datasets=SimpleNamespace(CIFAR10=RealImages))
    with (
        on_a_cpu(),
        redirect_stdout(StringIO()),
        patch.multiple("torch.distributed", **alone),
        patch.object(module, "torchvision", datasets),
        patch.object(module, "optim", SimpleNamespace(Adam=Watched)),
        patch.object(module, "transforms", Views(module.transforms)),
        patch.object(module, "ApplyTransformToPair", NoViews, create=True),
        patch.object(module, "PreImgPathCache", lambda *_a, **_o: cache, create=True),
        patch.object(torch, "randn", lambda *_shape, **_options: start.clone().requires_grad_(True)),
    ):
        module.main_worker(0, 1, Namespace(**options), networks, verifier or FirstOfTwo(), list(range(2)))
    images = Watched.seen.detach()
    return {
        "steps": [{name: round_to(value) for name, value in step.items()} for step in Watched.steps],
        "image means": [round_to(value) for value in images.mean(dim=(1, 2, 3)).tolist()],
        "image norm": round_to(images.norm().item()),
        "moved": round_to((images - start).abs().mean().item()),
    }


class Views:
    """torchvision's transforms, of which none changes an image."""

    def __init__(self, transforms: Any) -> None:
        self.transforms = transforms

    def __getattr__(self, name: str) -> Any:
        return NoViews if name == "Compose" else getattr(self.transforms, name)


def round_to(value: float, digits: int = 7) -> float:
    return float(f"{value:.{digits}g}")


@contextmanager
def in_a_folder_of_its_own() -> Iterator[Path]:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def batches(module: ModuleType, classes: int, ipc: int, batch_size: int, gpus: int) -> list[str]:
    """Of the first batch of each GPU, where the images are in the set in class order, as runs: ``0-4 50-54``."""
    found: list[str] = []
    cache = SimpleNamespace(random_img_sample=lambda _target: torch.zeros(3, 4, 4))
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes)).requires_grad_(False)
    for gpu in range(gpus):

        def keep(_args: Any, _images: Tensor, targets: Tensor, ranks: Tensor) -> None:
            found.append(runs((targets * ipc + ranks).tolist()))
            raise StopIteration

        options = Namespace(
            rank=0, world_size=1, dist_backend="", dist_url="", batch_size=batch_size, iteration=0, lr=0.1, jitter=0,
            store_best_images=True, statistic_path="statistic", training_momentum=0.8, drop_rate=0.0, train_data_path="",
            initial_img_dir="", flatness_weight=0.0, category_aware="global", ema_alpha=0.9, aux_teacher=["one"],
        )  # fmt: skip
        small = lambda shape, **_options: torch.zeros(shape[0], 3, 4, 4)  # noqa: E731
        with (
            on_a_cpu(),
            redirect_stdout(StringIO()),
            patch.multiple("torch.distributed", init_process_group=lambda **_options: None),
            patch.object(module, "save_images", keep),
            patch.object(module, "PreImgPathCache", lambda *_a, **_o: cache, create=True),
            patch.object(torch, "randn", small),
            suppress(StopIteration),
        ):
            module.main_worker(gpu, gpus, options, [network], network, list(range(ipc)))
    return found


def runs(places: list[int]) -> str:
    """Numbers as runs of consecutive ones."""
    ends = [i for i, place in enumerate(places) if i + 1 == len(places) or places[i + 1] != place + 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    return " ".join(f"{places[start]}-{places[end]}" for start, end in zip(starts, ends, strict=True))
