"""What G-VBSM's training scripts do with students: ``python students_gvbsm.py CHECKOUT``, of
github.com/shaoshitong/G_VBSM_Dataset_Condensation. The script for ImageNet-1K ran on two GPUs, which one process cannot."""

from __future__ import annotations

import importlib
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

from student_stand_ins import (
    Batches,
    Images,
    Watch,
    arguments_of,
    commit,
    decayed,
    networks,
    script,
    stand_in,
    stored,
)

from made_inputs import student_batches
from published import write_golden

BRANCHES = {"cifar10": "Branch_CIFAR_10", "cifar100": "Branch_CIFAR_100", "tiny-imagenet": "Branch_Tiny_ImageNet"}
IMAGES = {"cifar10": 260, "cifar100": 160, "tiny-imagenet": 260}


def run(repository: Path, dataset: str) -> dict[str, Any]:
    folder, watch = repository / BRANCHES[dataset] / "train", Watch()
    with script(folder, arguments_of(folder / "train.sh")):
        module = importlib.import_module("train_FKD")
        train, build = module.train, networks()

        def watched(model: Any, args: Any, epoch: int) -> None:
            if watch.epoch(args.optimizer):
                batches = student_batches(IMAGES[dataset], args.batch_size)
                args.train_loader = Batches([stored(*batch) for batch in batches])
                train(model, args, epoch)
                watch.keep(IMAGES[dataset], args.batch_size, module.wandb_metrics["train/loss"], model)

        module.train, module.validate, module.save_checkpoint = watched, watch.validate, lambda *_args, **_more: None
        module.ti_models = types.SimpleNamespace(model_dict=defaultdict(lambda: build))
        module.ti_get_network = build
        module.get_tinyimagenet_dataloaders = lambda **_more: (None, None)
        module.ImageFolder_FKD_MIX = Images
        module.main()
    return watch.figures()


if __name__ == "__main__":
    repository = Path(sys.argv[1]).resolve()
    stand_in()
    with script(repository / "Branch_CIFAR_10" / "train", []):
        counted = decayed(importlib.import_module("utils").get_parameters)
    figures: dict[str, Any] = {"decayed": counted, **{dataset: run(repository, dataset) for dataset in BRANCHES}}
    files = [f"{branch}/train/{name}" for branch in BRANCHES.values() for name in ("train_FKD.py", "train.sh")]
    address = "https://github.com/shaoshitong/G_VBSM_Dataset_Condensation"
    write_golden("students_gvbsm", address, commit(repository), files, figures)
