"""How makers run a published recovery loop on made inputs: on the CPU, draws given, one batch, and what it did written down.

SRe2L, CDA and DELT share one loop: an Adam on the pixels, its rate set before each step, one crop, mirror and shift for
the batch. What is watched here are the calls that it makes of torch and torchvision; the loop itself is the checkout's.
"""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import types
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).parents[2]))

from made_inputs import SmallNetwork, made_crop, made_mirror, made_shift, waves
from published import places_of


class Saved(Exception):
    """The first batch has been saved, which is enough."""


def commit_of(checkout: Path) -> str:
    """The checkout's commit: of git, or where it is only unpacked, as its file COMMIT says."""
    unpacked = checkout / "COMMIT"
    if unpacked.exists():
        return unpacked.read_text().strip()
    return subprocess.check_output(["git", "-C", str(checkout), "rev-parse", "HEAD"], text=True).strip()


def module_of(file: Path, stand_ins: Sequence[str] = ()) -> types.ModuleType:
    """A published module, imported from its folder with its own neighbours, whatever their names are elsewhere."""
    neighbours = {each.stem for each in file.parent.glob("*.py")}
    for name in neighbours:
        sys.modules.pop(name, None)
    for name in stand_ins:
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.path.insert(0, str(file.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"published_{file.stem}", file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
        for name in neighbours:
            sys.modules.pop(name, None)
    return module


def seven(values: Any) -> Any:
    """Rounded to seven digits."""
    if isinstance(values, Tensor):
        return seven(values.tolist())
    if isinstance(values, (list, tuple)):
        return [seven(each) for each in values]
    return values if isinstance(values, int) else float(f"{float(values):.7g}")


@contextmanager
def on_the_cpu() -> Iterator[None]:
    """Calls for a GPU do nothing."""
    as_it_is, to = torch.randn, Tensor.to
    with ExitStack() as stack:
        for kind in (nn.Module, Tensor):
            stack.enter_context(patch.object(kind, "cuda", lambda self, *_args, **_more: self))
        drop = lambda self, *args, **more: to(self, *[each for each in args if each != "cuda"], **more)  # noqa: E731
        stack.enter_context(patch.object(Tensor, "to", drop))
        stack.enter_context(patch.object(torch.cuda, "empty_cache", lambda: None))
        assert torch.randn is as_it_is
        yield


def recovered(module: types.ModuleType, run: Callable[[nn.Module], None], network: nn.Module) -> dict[str, Any]:
    """What `run` of a published recovery did, up to the first batch that is saved.

    Of each step: learning rate, lower end of the crop, cross-entropy, statistics of each BatchNorm layer, norm of the
    gradient; ranges of shifts; of the pixels after the last step mean, norm and some values; and the levels saved.
    """
    steps: dict[str, list[Any]] = {name: [] for name in ("rate", "crop", "entropy", "statistics", "gradient")}
    seen: dict[str, Any] = {"shifts": []}
    hooks: list[Any] = []
    plain_hook, plain_adam, plain_loss = module.BNFeatureHook, torch.optim.Adam, nn.CrossEntropyLoss

    class Hook(plain_hook):  # type: ignore[misc,valid-type]
        def __init__(self, layer: nn.Module) -> None:
            super().__init__(layer)
            hooks.append(self)

    class Entropy(plain_loss):  # type: ignore[misc,valid-type]
        def forward(self, *args: Tensor) -> Tensor:
            value: Tensor = super().forward(*args)
            seen["entropy"] = float(value.detach())
            return value

    class Adam(plain_adam):  # type: ignore[misc,valid-type]
        def step(self, *args: Any, **more: Any) -> Any:
            (group,) = self.param_groups
            (pixels,) = group["params"]
            seen["pixels"], seen["betas"], seen["eps"] = pixels, list(group["betas"]), group["eps"]
            steps["rate"].append(float(group["lr"]))
            steps["entropy"].append(seen["entropy"])
            steps["statistics"].append(terms_of([hook.r_feature for hook in hooks]))
            steps["gradient"].append(float(pixels.grad.norm()))
            return super().step(*args, **more)

    def crop(image: Tensor, scale: Sequence[float], _ratio: Sequence[float]) -> tuple[int, int, int, int]:
        steps["crop"].append(float(scale[0]))
        return made_crop(len(steps["crop"]) - 1, image.shape[-1])

    def shift(low: int, high: int) -> int:
        step, which = divmod(len(seen["shifts"]), 2)
        seen["shifts"].append([low, high])
        return made_shift(step, low, high)[which]

    def mirror(*_size: int) -> Tensor:
        return torch.tensor([0.1 if made_mirror(len(steps["crop"]) - 1) else 0.9])

    def noise(shape: Sequence[int], **_more: Any) -> Tensor:
        return waves(*shape, low=-2.5, high=2.5).requires_grad_(True)

    def save(_args: Any, images: Tensor, targets: Tensor, *_more: Any) -> None:
        seen["images"], seen["targets"] = images.detach().clone(), targets.tolist()
        raise Saved

    levels: list[Any] = []
    plain_save = module.save_images
    with ExitStack() as stack:
        for of, name, new in (
            (module, "BNFeatureHook", Hook),
            (module, "save_images", save),
            (torch.optim, "Adam", Adam),
            (nn, "CrossEntropyLoss", Entropy),
            (transforms.RandomResizedCrop, "get_params", staticmethod(crop)),
            (random, "randint", shift),
            (torch, "rand", mirror),
            (torch, "randn", noise),
        ):
            stack.enter_context(patch.object(of, name, new))
        stack.enter_context(on_the_cpu())
        with suppress(Saved):
            run(network)
    with (
        patch.object(Image, "fromarray", lambda array: levels.append(array) or Image.new("RGB", (1, 1))),
        patch.object(Image.Image, "save", lambda *_args, **_more: None),
        patch("os.mkdir"),
        patch("os.makedirs"),
    ):
        targets = torch.tensor(seen["targets"])
        arguments = (0,) if "ipc_id" in plain_save.__code__.co_varnames else ()
        plain_save(Namespace(syn_data_path="nowhere"), seen["images"], targets, *arguments)
    saved = torch.from_numpy(numpy.stack(levels)).permute(0, 3, 1, 2).long()
    ranges = {tuple(each) for each in seen["shifts"]}
    assert len(ranges) == 1
    return {
        **{name: seven(values) for name, values in steps.items()},
        "shifts": list(ranges.pop()),
        "betas": seen["betas"],
        "eps": seen["eps"],
        "pixels": {
            "mean": seven(seen["pixels"].mean()),
            "norm": seven(seen["pixels"].norm()),
            "some": seven(places_of(seen["pixels"])),
        },
        "levels": {"sum": int(saved.sum()), "some": places_of(saved).tolist()},
        "targets": seen["targets"],
    }


def hook_figures(module: types.ModuleType, classes: int = 4, size: int = 32) -> dict[str, Any]:
    """The statistics of made images under the module's hooks, and the norm of the gradient of their sum, the first tenfold."""
    network = SmallNetwork(classes).eval()
    hooks = [module.BNFeatureHook(layer) for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    images = waves(classes, 3, size, size).requires_grad_(True)
    network(images)
    terms = [hook.r_feature for hook in hooks]
    (gradient,) = torch.autograd.grad(10 * terms[0] + sum(terms[1:]), images)
    return {"layers": seven(terms_of(terms)), "gradient": seven(gradient.norm())}


def terms_of(terms: Sequence[Tensor]) -> list[float]:
    return [float(each.detach()) for each in terms]
