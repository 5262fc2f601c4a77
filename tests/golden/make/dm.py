"""Write dm.json: DM's loop and the siamese augmentation, from a checkout of VICO-UoE/DatasetCondensation."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy
import torch
import torch.nn.functional as F
from recovering import commit_of, module_of, seven
from torch import Tensor, nn

from made_inputs import made_levels, set_weights, waves
from published import places_of, write_golden

FILES = ["main_DM.py", "utils.py", "networks.py"]
OPERATIONS = "color_crop_cutout_flip_scale_rotate"
UNIFORM = [(0.2, 0.7, 0.45), (0.9, 0.1, 0.6), (0.5, 0.5, 0.999)]
"""Draws of an operation: the first, the second and the third that it makes."""
CLASSES, EACH, IPC, SIZE, STEPS = 3, 8, 2, 32, 4
MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]).view(3, 1, 1), torch.tensor([0.2023, 0.1994, 0.2010]).view(3, 1, 1)


def main(checkout: Path) -> None:
    utils = of_today(checkout / FILES[1])
    dm = of_today(checkout / FILES[0])
    figures = {
        "siamese": {
            str(size): {
                name: [augmented(utils, name, draws, size) for draws in UNIFORM] for name in OPERATIONS.split("_")
            }
            for size in (16, 9)
        },
        "corners": {name: augmented(utils, name, UNIFORM[0], 16, corners=True) for name in ("scale", "rotate")},
        "by image": {name: of_images(utils, name) for name in OPERATIONS.split("_")},
        "loop": {model: matched(dm, model) for model in ("ConvNet", "ConvNetBN")},
        "draws": siamese_draws(dm),
    }
    write_golden("dm", "https://github.com/VICO-UoE/DatasetCondensation", commit_of(checkout), FILES, figures)


def of_today(file: Path) -> types.ModuleType:
    """A module of the checkout; where it takes a function of SciPy's lay once, there is none, and nothing here calls it."""
    for name in ("scipy.ndimage.interpolation",):
        sys.modules.setdefault(name, types.ModuleType(name)).rotate = None  # type: ignore[attr-defined]
    return module_of(file)


@contextmanager
def drawn(name: str, uniform: Iterator[Tensor]) -> Iterator[None]:
    """The operation of that name, and in place of each of its draws the next of `uniform` values in 0..1."""

    def whole(low: int, high: int, size: Any = None, **_more: Any) -> Tensor:
        if list(size) == [1]:
            return torch.tensor([OPERATIONS.split("_").index(name)])
        return ((next(uniform) * (high - low)).long().clamp_max(high - low - 1) + low).view(*size)

    def real(*size: int, **_more: Any) -> Tensor:
        return next(uniform).view(*size)

    with (
        patch.object(torch, "randint", whole),
        patch.object(torch, "rand", real),
        patch.object(torch.random, "manual_seed", lambda _seed: None),
    ):
        yield


def augmented(
    utils: types.ModuleType, name: str, draws: tuple[float, ...], size: int, corners: bool = False
) -> dict[str, Any]:
    """Two images under one draw for both; `corners`: as torch 1.2, which the repository asks for, had it by default."""
    images = waves(2, 3, size, size)
    uniform = iter([torch.full((2,), u) for u in draws])
    grid, sample = F.affine_grid, F.grid_sample
    with ExitStack() as stack:
        stack.enter_context(drawn(name, uniform))
        if corners:
            stack.enter_context(patch.object(F, "affine_grid", lambda *args: grid(*args, align_corners=True)))
            stack.enter_context(patch.object(F, "grid_sample", lambda *args: sample(*args, align_corners=True)))
        views = utils.DiffAugment(images, OPERATIONS, seed=7, param=utils.ParamDiffAug())
    return {"draws": draws, "norm": seven(views.norm()), "some": seven(places_of(views, 6))}


def of_images(utils: types.ModuleType, name: str) -> dict[str, Any]:
    """Four images, each with its own draws, as students see them."""
    images, draws = waves(4, 3, 16, 16), waves(4, 3, low=0.02, high=0.98)
    with drawn(name, iter(draws.T)):
        views = utils.DiffAugment(images, OPERATIONS, param=utils.ParamDiffAug())
    return {"norm": seven(views.norm()), "some": seven(places_of(views, 6))}


def matched(dm: types.ModuleType, model: str, strategy: str = "none", clock: Callable[[], float] = lambda: 1.0) -> Any:
    """The first steps of `main`, under a network of made weights, on all images of each class, its first ones to start from."""
    pixels = (made_levels(CLASSES * EACH, SIZE).float() / 255 - MEAN) / STD
    data = [(image, place // EACH) for place, image in enumerate(pixels)]
    told = (3, (SIZE, SIZE), CLASSES, None, MEAN.flatten().tolist(), STD.flatten().tolist(), data, None, None)
    steps: dict[str, list[float]] = {"loss": [], "gradient": []}
    seen: dict[str, Any] = {}
    plain_network, plain_sgd, plain_backward = dm.get_network, torch.optim.SGD, Tensor.backward

    class Descent(plain_sgd):  # type: ignore[misc,valid-type]
        def step(self, *args: Any, **more: Any) -> Any:
            (group,) = self.param_groups
            (images,) = group["params"]
            seen.update(images=images, rate=group["lr"], momentum=group["momentum"])
            steps["gradient"].append(float(images.grad.norm()))
            return super().step(*args, **more)

    def network(*args: Any) -> nn.Module:
        made: nn.Module = plain_network(*args)
        set_weights(made)
        return made

    def backward(loss: Tensor, *args: Any, **more: Any) -> None:
        steps["loss"].append(float(loss.detach()))
        plain_backward(loss, *args, **more)

    options = {"model": model, "ipc": IPC, "num_exp": 1, "Iteration": STEPS - 1, "batch_real": EACH}
    typed = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with ExitStack() as stack:
        for of, name, new in (
            (sys, "argv", ["main_DM.py", *typed, "--dsa_strategy", strategy, "--data_path", ".", "--save_path", "."]),
            (dm, "get_loops", lambda _ipc: (1, 1)),  # which DM does not use
            (dm, "get_dataset", lambda *_args: told),
            (dm, "get_network", network),
            (dm, "evaluate_synset", lambda *_args: (None, 0.0, 0.0)),
            (dm, "save_image", lambda *_args, **_more: None),
            (torch, "save", lambda *_args: None),
            (torch.optim, "SGD", Descent),
            (Tensor, "backward", backward),
            (numpy.random, "permutation", lambda places: numpy.asarray(places)),
            (dm.time, "time", clock),
        ):
            stack.enter_context(patch.object(of, name, new))
        dm.main()
    images = seen["images"].detach()
    low, high = (0 - MEAN) / STD, (1 - MEAN) / STD
    return {
        **{name: seven(values) for name, values in steps.items()},
        "rate": seen["rate"],
        "momentum": seen["momentum"],
        "norm": seven(images.norm()),
        "some": seven(places_of(images)),
        "outside": seven(((images < low) | (images > high)).float().mean()),
    }


def siamese_draws(dm: types.ModuleType) -> dict[str, int]:
    """How many steps were made, how often images were augmented for them, and with how many draws."""
    ticks = iter(range(10**9))
    seeds: list[int] = []
    plain = dm.DiffAugment

    def augment(images: Tensor, strategy: str, seed: int, param: Any) -> Tensor:
        seeds.append(seed)
        views: Tensor = plain(images, strategy, seed=seed, param=param)
        return views

    with patch.object(dm, "DiffAugment", augment):
        matched(dm, "ConvNet", OPERATIONS, clock=lambda: next(ticks) / 1000)
    return {"steps": STEPS, "calls": len(seeds), "draws": len(set(seeds))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
