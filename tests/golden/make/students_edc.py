"""What EDC's training scripts do with students: ``python students_edc.py CHECKOUT``, of github.com/shaoshitong/EDC."""

from __future__ import annotations

import importlib
import sys
import types
from collections import defaultdict
from pathlib import Path
from typing import Any

import torchvision
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
    state,
    stored,
)

from made_inputs import student_batches
from published import write_golden

BRANCHES = {
    "cifar10 ipc 1": ("Branch_CIFAR_10", "direct_train", "train.sh"),
    "cifar100": ("Branch_CIFAR_100", "direct_train", "train.sh"),
    "tiny-imagenet": ("Branch_Tiny_ImageNet", "direct_train", "train.sh"),
    "imagenette": ("Branch_ImageNet_10", "direct_train", "train.sh"),
    "imagenet": ("Branch_full_ImageNet_1k", "train_FKD_parallel", "train.sh"),
}


def run(repository: Path, branch: str, name: str, shell: str) -> dict[str, Any]:
    folder, watch = repository / branch / "train", Watch()
    with script(folder, arguments_of(folder / shell)):
        module = importlib.import_module(name)
        train, build = module.train, networks()
        direct = name == "direct_train"

        def watched(model: Any, *given: Any, ema_model: Any, **more: Any) -> float:
            args = given[1] if direct else given[0]
            if watch.epoch(args.optimizer):
                batches = student_batches(130 if args.batch_size < 100 else 260, args.batch_size)
                batches = batches[:1] if args.batch_size == 10 else batches
                args.train_loader = Batches(batches if direct else [stored(*batch, None) for batch in batches])
                loss = train(model, *given, ema_model=ema_model, **more)
                watch.keep(sum(len(batch[0]) for batch in batches), args.batch_size, loss, model)
                ema_model.ema_swap(model)
                watch.steps["average"] = state(model)
                ema_model.ema_swap(model)
            return 1.0

        module.train, module.validate, module.save_checkpoint = watched, watch.validate, lambda *_args, **_more: None
        module.ti_models = types.SimpleNamespace(model_dict=defaultdict(lambda: build))
        module.ti_get_network = build
        module.get_tinyimagenet_dataloaders = lambda **_more: (None, None)
        module.ImageNetwithClass = module.ImageFolder_FKD_MIX = Images
        for network in ("resnet18", "mobilenet_v2", "efficientnet_b0", "shufflenet_v2_x0_5"):
            torchvision.models.__dict__[network] = build
        module.main()
    return watch.figures()


if __name__ == "__main__":
    repository = Path(sys.argv[1]).resolve()
    stand_in()
    with script(repository / "Branch_CIFAR_10" / "train", []):
        counted = decayed(importlib.import_module("utils").get_parameters)
    figures: dict[str, Any] = {"decayed": counted}
    figures |= {dataset: run(repository, *branch) for dataset, branch in BRANCHES.items()}
    files = [
        f"{branch}/train/{name}" for branch, module, shell in BRANCHES.values() for name in (f"{module}.py", shell)
    ]
    write_golden("students_edc", "https://github.com/shaoshitong/EDC", commit(repository), files, figures)
