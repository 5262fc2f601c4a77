"""`python gvbsm.py CHECKOUT` writes what G-VBSM's published code printed; einops must be installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from committee_stand_ins import Anything, batches, in_a_folder_of_its_own, on_a_cpu, published, recovered, round_to
from torch import nn

from made_inputs import FirstOfTwo, SecondOfTwo, waves
from published import write_golden

checkout = Path(sys.argv[1]).resolve()
LOOP = "data_synthesis_with_svd_with_db_with_all_statistic"
figures: dict[str, object] = {}


def recover(branch: str) -> ModuleType:
    return published(checkout / f"Branch_{branch}" / "recover", LOOP)


with in_a_folder_of_its_own():
    # The first run writes targets to files, and its BatchNorm hooks have seen the real images by then; they are published.
    for _ in range(2):
        networks = [FirstOfTwo(), SecondOfTwo()]
        figures["recover"] = recovered(recover("CIFAR_10"), networks, waves(20, 3, 12, 12) * 0.05)
    # Patches of 16 on a map of 24: resized to 32, four places.
    recover("full_ImageNet_1k")
    utils = sys.modules["utils"]
    convolution = nn.Conv2d(4, 2, 3, padding=1)
    with on_a_cpu():
        hook = utils.ConvFeatureHook(convolution, save_path=".", name="one", data_number=6, drop_rate=0.0)
        hook.set_hook(pre=True)
        for images in waves(6, 4, 24, 24, pitch=0.23).split([4, 2]):
            convolution(images)
        hook.save()
    figures["patches of 16"] = {
        "mean": [round_to(value) for value in hook.running_patch_mean.tolist()],
        "variance": [round_to(value) for value in hook.running_patch_var.tolist()],
        "channel variance": [round_to(value) for value in hook.running_dd_var.tolist()],
    }
    figures["batches"] = {
        "cifar10 10": batches(recover("CIFAR_10"), 10, 10, 100, gpus=1),
        "cifar100 10": batches(recover("CIFAR_100"), 100, 10, 100, gpus=2),
        "tiny-imagenet 50": batches(recover("Tiny_ImageNet"), 200, 50, 100, gpus=2),
        "imagenet 10": batches(recover("full_ImageNet_1k"), 1000, 10, 80, gpus=2),
    }
    labels = {}
    for branch in ("CIFAR_10", "full_ImageNet_1k"):
        sys.modules["utils_fkd"] = Anything("utils_fkd")
        relabel = published(checkout / f"Branch_{branch}" / "relabel", "generate_soft_label_with_db")
        relabel.mix_aug = lambda images, _args: (images, None, None, None)
        seen = []
        relabel.torch = SimpleNamespace(**{**vars(torch), "save": lambda what, _path, seen=seen: seen.append(what[5])})
        loader = [(waves(6, 3, 12, 12), torch.arange(6), None, None, torch.arange(6))]
        with on_a_cpu():
            relabel.save(loader, networks, ".", SimpleNamespace(use_fp16=False))
        labels[branch] = [[round_to(value) for value in row] for row in seen[0].tolist()]
    figures["labels"] = labels

files = [
    f"Branch_CIFAR_10/recover/{LOOP}.py",
    "Branch_CIFAR_10/recover/utils.py",
    f"Branch_Tiny_ImageNet/recover/{LOOP}.py",
]
files += [f"Branch_CIFAR_100/recover/{LOOP}.py", f"Branch_full_ImageNet_1k/recover/{LOOP}.py"]
files += [f"Branch_{branch}/relabel/generate_soft_label_with_db.py" for branch in ("CIFAR_10", "full_ImageNet_1k")]
files += ["Branch_full_ImageNet_1k/recover/utils.py"]
commit = (checkout / "COMMIT").read_text().strip()
write_golden("gvbsm", "https://github.com/shaoshitong/G_VBSM_Dataset_Condensation", commit, files, figures)
