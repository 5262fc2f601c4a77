"""What the training code of RDED and of DELT, which is RDED's changed, does with students:
``python students_rded.py CHECKOUT``, of github.com/LINs-lab/RDED or github.com/VILA-Lab/DELT."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from student_stand_ins import (
    Batches,
    Images,
    Watch,
    arguments_for,
    commit,
    decayed,
    networks,
    script,
    stand_in,
)

from made_inputs import student_batches
from published import write_golden

CASES = {
    "cifar10": (["conv3", "resnet18_modified", "resnet101_modified", "mobilenet_v2"], [1, 10, 50]),
    "cifar100": (["conv3", "resnet18_modified"], [1, 10, 50]),
    "tinyimagenet": (["conv4", "resnet18_modified"], [1, 10, 50]),
    "imagenet-nette": (["resnet18", "resnet101", "mobilenet_v2", "vgg11"], [1, 10, 50]),
    "imagenet-100": (["resnet18", "resnet101", "mobilenet_v2"], [10, 50]),
    "imagenet-1k": (["resnet18", "resnet101", "efficientnet_b0", "swin_v2_t", "vit_b_16", "alexnet"], [1, 10, 50]),
}
"""Students and images a class of each dataset, as the code calls it."""


def settings(argument: Path) -> dict[str, Any]:
    """By dataset, images a class and student: batch, rate, and test images a class. The teacher is the student's like."""
    found = {}
    for subset, (students, counts) in CASES.items():
        for student in students:
            for ipc in counts:
                args = arguments_for(
                    argument, ["--subset", subset, "--arch-name", student, "--stud-name", student, "--ipc", str(ipc)]
                )
                found[f"{subset} {ipc} {student}"] = [args.re_batch_size, args.adamw_lr, args.val_ipc]
    return found


def run(folder: Path, options: list[str]) -> dict[str, Any]:
    watch = Watch()
    with script(folder, options):
        module = importlib.import_module("validation.main")
        args, train, build = importlib.import_module("argument").args, module.train, networks()
        args.random_erasing_p, args.syn_data_path = (
            0.0,
            "",
        )  # DELT's parser has not what its scripts and its main ask for

        def watched(epoch: int, _loader: Any, teacher: Any, student: Any, args: Any) -> None:
            if watch.epoch(args.optimizer):
                batches, said = student_batches(130, args.re_batch_size), []
                meter = module.AverageMeter
                module.AverageMeter = lambda: said.append(meter()) or said[-1]
                train(epoch, Batches(batches), teacher, student, args)
                module.AverageMeter = meter
                watch.keep(130, args.re_batch_size, said[0].avg, student)

        module.train, module.validate, module.ImageFolder = watched, watch.validate, Images
        module.load_model = lambda pretrained, **_more: made[pretrained]
        made = {False: build(), True: build()}
        module.main_worker(args)
    return {"temperature": args.temperature, **watch.figures()}


if __name__ == "__main__":
    repository = Path(sys.argv[1]).resolve()
    stand_in()
    of_delt = (repository / "evaluation").is_dir()
    folder = repository / "evaluation" if of_delt else repository
    with script(folder, []):
        counted = decayed(importlib.import_module("validation.utils").get_parameters)
    figures = {
        "decayed": counted,
        "settings": settings(folder / "argument.py"),
        "cifar10": run(folder, ["--subset", "cifar10", "--ipc", "10", "--stud-name", "conv3", "--re-epochs", "300"]),
    }
    files = [
        f"{'evaluation/' * of_delt}{name}" for name in ("argument.py", "validation/main.py", "validation/utils.py")
    ]
    name, address = ("delt", "VILA-Lab/DELT") if of_delt else ("rded", "LINs-lab/RDED")
    write_golden(f"students_{name}", f"https://github.com/{address}", commit(repository), files, figures)
