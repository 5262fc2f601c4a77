"""What SRe2L's training scripts do with students: ``python students_sre2l.py CHECKOUT TINY``, of github.com/VILA-Lab/SRe2L and
of github.com/zeyuanyin/tiny-imagenet, where its script for Tiny-ImageNet lies."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import torch
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


def fkd(folder: Path) -> dict[str, Any]:
    """ImageNet-1K: 1,400 images in batches of 1,024, in two parts each."""
    watch = Watch()
    with script(folder, arguments_of(folder / "train_FKD.sh")):
        module = importlib.import_module("train_FKD")
        train, build = module.train, networks()

        def watched(model: Any, args: Any, epoch: int) -> None:
            if watch.epoch(args.optimizer):
                batches = [stored(*batch) for batch in student_batches(1400, args.batch_size)]
                args.train_loader = Batches([(batch[:4], *batch[4:6], [0] * 4, batch[7]) for batch in batches])
                train(model, args, epoch)
                watch.keep(1400, args.batch_size, module.wandb_metrics["train/loss"], model)

        module.train, module.validate, module.save_checkpoint = watched, watch.validate, lambda *_args, **_more: None
        module.ImageFolder_FKD_MIX = Images
        torchvision.models.__dict__["resnet18"] = build
        module.main()
    return watch.figures()


def cifar100(folder: Path) -> dict[str, Any]:
    """A script without a main: 128 images, one batch an epoch; every step's rate, and the student after the first."""
    rates: list[float] = []
    first: dict[str, Any] = {}
    shell = (folder / "relabel_cifar.sh").read_text()
    options = [
        "--epochs",
        re.findall(r"--epochs (\d+)", shell)[0],
        "--batch-size",
        re.findall(r"--batch-size (\d+)", shell)[0],
    ]
    build, step = networks(), torch.optim.AdamW.step
    made: list[Any] = []

    def built(*args: Any, **more: Any) -> Any:
        made.append(build(*args, **more))
        return made[-1]

    def watched(self: torch.optim.AdamW, *args: Any) -> Any:
        done = step(self, *args)
        rates.append(self.param_groups[0]["lr"])
        if len(rates) == 1:
            groups = self.param_groups
            first["decayed"] = sum(len(group["params"]) for group in groups if group["weight_decay"])
            first["student"] = state(made[0])
        return done

    with script(folder, [*options, "--ipc", "1"]), contextlib.redirect_stdout(io.StringIO()) as printed:
        torchvision.models.get_model = built
        torch.cuda.is_available = lambda: False  # it moves images to where it says
        torch.optim.AdamW.step = watched
        sys.modules["imagenet_ipc"] = types.SimpleNamespace(ImageFolderIPC=Images)  # type: ignore[assignment]
        torch.utils.data.DataLoader = lambda *_args, **_more: student_batches(128, 128)
        permuted, torch.randperm = torch.randperm, lambda count: torch.arange(count)
        runpy.run_path(str(folder / "relabel_cifar.py"))
        torch.randperm = permuted
        torch.optim.AdamW.step = step
    said = printed.getvalue().splitlines()
    watch = Watch()
    watch.rates = rates
    epoch = -1
    for line in said:
        epoch += line.startswith("Epoch:")
        if line.startswith("Test:"):
            watch.tested.append(epoch)
    loss = float(next(line for line in said if line.startswith("Epoch:")).split()[-1])
    return {**watch.figures(), "images": 128, "batch": 128, "loss": loss, **first}


def tiny(folder: Path) -> dict[str, Any]:
    """Tiny-ImageNet, from torchvision's reference training; 512 images in batches of 256."""
    watch = Watch()
    shell = folder.parent / "script" / "train_kd.sh"
    text = shell.read_text().split("# log file")[1]
    words = text[text.index("python ") :].replace("\\\n", " ").replace("'", "").split()[2:]
    with script(folder, words):
        sys.modules["imagenet_ipc"] = types.SimpleNamespace(ImageFolderIPC=Images)  # type: ignore[assignment]
        module = importlib.import_module("train_kd")
        args = module.get_args_parser().parse_args()
        args.device, args.output_dir = "cpu", ""
        torchvision.models.get_model = networks()
        train = module.train_one_epoch
        module.load_data = lambda *_args: (Images(), Images(), None, None)
        module.utils.init_distributed_mode = lambda args: setattr(args, "distributed", False)

        def watched(model: Any, teacher: Any, criterion: Any, optimizer: Any, _loader: Any, *more: Any) -> None:
            if watch.epoch(optimizer):
                groups, said = optimizer.param_groups, []
                meters = module.utils.MetricLogger
                module.utils.MetricLogger = lambda **named: said.append(meters(**named)) or said[-1]
                train(model, teacher, criterion, optimizer, student_batches(512, args.batch_size), *more)
                module.utils.MetricLogger = meters
                watch.keep(512, args.batch_size, said[0].meters["loss"].global_avg, model)
                watch.steps["decayed"] = sum(len(group["params"]) for group in groups if group["weight_decay"])

        def evaluated(*_args: Any, **_more: Any) -> float:
            watch.tested.append(len(watch.rates) - 1)
            return 0.0

        module.train_one_epoch, module.evaluate = watched, evaluated
        module.main(args)
    return watch.figures()


if __name__ == "__main__":
    repository, other = (Path(given).resolve() for given in sys.argv[1:3])
    stand_in()
    validate = repository / "SRe2L" / "validate"
    with script(validate, []):
        counted = decayed(importlib.import_module("utils").get_parameters)
    figures = {"decayed": counted, "imagenet": fkd(validate), "tiny-imagenet": tiny(other / "classification")}
    figures["cifar100"] = cifar100(repository / "SRe2L" / "*small_dataset")
    files = ["SRe2L/validate/train_FKD.py", "SRe2L/validate/train_FKD.sh", "SRe2L/*small_dataset/relabel_cifar.py"]
    files += [f"zeyuanyin/tiny-imagenet {commit(other)}: classification/train_kd.py, script/train_kd.sh"]
    write_golden("students_sre2l", "https://github.com/VILA-Lab/SRe2L", commit(repository), files, figures)
