"""Write delt_recover.json: which images DELT optimises when and what becomes of them, from a checkout of VILA-Lab/DELT."""

from __future__ import annotations

import sys
import types
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from recovering import SmallNetwork, commit_of, hook_figures, module_of, recovered
from torch import nn

from made_inputs import waves
from published import write_golden

FILES = ["recover/recover.py", "recover/utils.py"]
CASES = [(ipc, rounds) for rounds in (8, 4) for ipc in (1, 3, 10, 30, 50, 200)]
CLASSES, BATCH, ROUND = 4, 100, 5
RUN = {  # the published command's options, but for iterations and sizes
    "lr": 0.25, "r_bn": 0.01, "jitter": 0, "first_bn_multiplier": 10.0, "easy2hard_mode": "cosine", "milestone": 1,
    "iteration": 8, "min_iterations": 8, "round_iterations": 2, "use_early_late": True, "round_lr_reset": False,
    "store_best_images": True, "dataset": "cifar10", "input_size": 32, "ipc": 6,
}  # fmt: skip


def main(checkout: Path) -> None:
    loop = module_of(checkout / FILES[0])
    # a row of a case's list is a batch: its rounds as they are left, and a digit an image, the first of them with it
    joins = {f"{ipc} {rounds}": joined(loop, ipc, rounds) for ipc, rounds in CASES}
    network = SmallNetwork(CLASSES).eval().requires_grad_(False)
    hooks: list[Any] = []

    def run(of: nn.Module) -> None:
        start = waves(CLASSES * RUN["ipc"], 3, 32, 32, low=-2.5, high=2.5)  # type: ignore[operator]
        targets = torch.arange(CLASSES).repeat_interleave(RUN["ipc"])  # type: ignore[arg-type]
        hooks.extend(loop.BNFeatureHook(layer) for layer in of.modules() if isinstance(layer, nn.BatchNorm2d))
        loop.get_images(Namespace(**RUN), start, targets, of, hooks, torch.full((CLASSES,), RUN["iteration"]), {})

    figures = {
        "joins": joins,
        "run": recovered(loop, run, network),
        "hooks": {FILES[1]: hook_figures(module_of(checkout / FILES[1]))},
    }
    write_golden("delt_recover", "https://github.com/VILA-Lab/DELT", commit_of(checkout), FILES, figures)


def joined(loop: types.ModuleType, ipc: int, rounds: int) -> list[list[Any]]:
    """For each batch of a set of `CLASSES` classes: how many rounds have images, and in which of them each image joins."""
    targets = torch.arange(CLASSES).repeat_interleave(ipc)
    args = Namespace(ipc=ipc, round_iterations=ROUND)
    iterations = torch.full((CLASSES,), rounds * ROUND)
    loop.img_indxer = {}
    batches = []
    for batch in targets.split(BATCH):
        slices = loop.get_round_imgs_indx(args, iterations, batch, loop.img_indxer)
        slices = [each for each in slices if each]  # as get_images goes on
        first = [next(number for number, each in enumerate(slices) if image in each) for image in range(len(batch))]
        assert all(image in each for image, joins in enumerate(first) for each in slices[joins:])
        batches.append([len(slices), "".join(map(str, first))])
        for label in batch.tolist():
            loop.get_img_indx(label)  # as images are saved
    return batches


if __name__ == "__main__":
    main(Path(sys.argv[1]))
