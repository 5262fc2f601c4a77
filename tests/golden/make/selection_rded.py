"""Writes golden/selection_rded.json: python selection_rded.py CHECKOUT of https://github.com/LINs-lab/RDED."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms.v2.functional import to_pil_image

sys.path.insert(0, str(Path(__file__).parents[2]))

from made_inputs import linear, picture, square
from published import write_golden

HERE, CHECKOUT = Path.cwd(), Path(sys.argv[1]).resolve()
CLASSES, IMAGES, CROPS, HEIGHT, WIDTH, SIZE = 2, 10, 3, 30, 40, 16
EVERY = 37  # of the values of an image, what is kept


def some(values: Tensor, every: int = EVERY) -> list[float]:
    return [round(value, 6) for value in values.flatten()[::every].tolist()]


def selections(folder: Path) -> dict[str, Any]:
    """What `init_images` hands to `save_images`: values in 0..1."""
    from synthesize import main as synthesize

    for label in range(CLASSES):
        (folder / f"{label:05d}").mkdir(parents=True)
        for number in range(IMAGES):
            image = to_pil_image(picture(label * IMAGES + number, HEIGHT, WIDTH))
            image.save(folder / f"{label:05d}" / f"{number:02d}.png")
    drawn: list[int] = []

    def get_params(*_args: Any) -> tuple[int, int, int, int]:
        top, left, side = square(len(drawn) % CROPS, HEIGHT, WIDTH)
        drawn.append(side)
        return top, left, side, side

    transforms.RandomResizedCrop.get_params = staticmethod(get_params)
    network = linear(SIZE, CLASSES)
    figures = {}
    for factor, ipc in ((1, 2), (2, 2), (3, 1)):
        saved: list[Tensor] = []
        synthesize.save_images = lambda _args, images, _label, saved=saved: saved.append(images)
        settings = argparse.Namespace(
            classes=range(CLASSES), mipc=IMAGES, train_dir=str(folder), num_crop=CROPS, input_size=SIZE, factor=factor,
            workers=0, ipc=ipc,
        )  # fmt: skip
        synthesize.init_images(settings, network)
        figures[f"factor {factor} ipc {ipc}"] = [some(image) for image in torch.cat(saved)]
    return figures


def floored(folder: Path) -> dict[str, Any]:
    """How many of the 256 levels of each channel come back one lower from `normalize`, `denormalize` and `save_images`."""
    from PIL import Image
    from synthesize import main as synthesize
    from synthesize.utils import normalize

    levels = torch.arange(256).repeat(3, 1).view(1, 3, 16, 16)
    kept: list[Any] = []
    unit = normalize(levels.float() / 255)
    with patch.object(
        Image.Image, "save", lambda image, *_args: kept.append(torch.tensor(np.array(image)).view(-1, 3))
    ):
        synthesize.save_images(argparse.Namespace(syn_data_path=str(folder / "out")), synthesize.denormalize(unit), 0)
    return {"levels lost": [(levels.flatten()[:256] - kept[0][:, channel]).nonzero().numel() for channel in range(3)]}


def shuffled() -> dict[str, Any]:
    """`ShufflePatches` where `random.shuffle` turns a list round by one."""
    from validation import utils

    utils.random.shuffle = lambda parts: parts.append(parts.pop(0))
    image = picture(3, 8, 8).float()
    return {f"factor {factor}": utils.ShufflePatches(factor)(image)[0].int().tolist() for factor in (2, 4)}


def validation() -> dict[str, Any]:
    """The transform of test images that `main_worker` hands to its second ImageFolder."""
    from validation import main

    seen: list[Any] = []

    class Done(Exception):
        pass

    def image_folder(transform: Any, **_settings: Any) -> list[int]:
        seen.append(transform)
        if len(seen) == 2:
            raise Done
        return [0]

    main.ImageFolder = image_folder
    main.load_model = lambda **_settings: linear(SIZE, CLASSES)
    settings = sys.modules["argument"].args
    settings.input_size, settings.re_batch_size, settings.workers = 64, 1, 0
    with suppress(Done):
        main.main_worker(settings)
    shapes = ((64, 64), (72, 72), (64, 96), (120, 90))
    return {f"{h} x {w}": some(seen[1](to_pil_image(picture(5, h, w))), 331) for h, w in shapes}


def main() -> None:
    torch.nn.Module.cuda = lambda self, *_args: self
    torch.Tensor.cuda = lambda self, *_args: self
    sys.path.insert(0, str(CHECKOUT))
    sys.argv = ["rded"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # what is imported makes folders
        try:
            figures = floored(Path(folder)) | {"shuffled": shuffled(), "validation": validation()}
            figures |= {"selected": selections(Path(folder) / "train")}
        finally:
            os.chdir(HERE)
    write_golden(
        "selection_rded",
        "https://github.com/LINs-lab/RDED",
        (CHECKOUT / "COMMIT").read_text().strip(),
        ["synthesize/main.py", "synthesize/utils.py", "validation/main.py", "validation/utils.py"],
        figures,
    )


if __name__ == "__main__":
    main()
