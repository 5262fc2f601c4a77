"""Writes golden/networks_edc.json: python networks_edc.py CHECKOUT of https://github.com/shaoshitong/EDC."""

from __future__ import annotations

import importlib
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from network_figures import figures_of

from published import write_golden

BRANCHES = {  # folder: classes and pixels, as its scripts build networks
    "Branch_CIFAR_10": (10, 32),
    "Branch_CIFAR_100": (100, 32),
    "Branch_Tiny_ImageNet": (200, 64),
}
TEACHERS = [  # recover/recover.py, line 430
    *("ResNet18", "ConvNetW128", "MobileNetV2", "WRN_16_2"),
    *("ShuffleNetV2_0_5", "ConvNetD1", "ConvNetD2", "ConvNetW32"),
]
OTHERS = ["ResNet50"]


def main(checkout: Path) -> None:
    for absent in ("kornia", "tqdm", "wandb", "scipy.ndimage.interpolation"):
        sys.modules.setdefault(absent, types.ModuleType(absent))
    sys.modules["scipy.ndimage.interpolation"].rotate = None  # type: ignore[attr-defined]
    time.time = lambda: 0.0  # they seed by the clock
    figures: dict[str, Any] = {}
    for branch, (classes, side) in BRANCHES.items():
        folder = str(checkout / branch / "squeeze")
        sys.path.insert(0, folder)
        models, baseline = importlib.import_module("models"), importlib.import_module("baseline")
        figures[branch] = {}
        for name in (*TEACHERS, *(OTHERS if branch == "Branch_CIFAR_10" else ())):
            torch.manual_seed(0)
            if name.startswith("ConvNet"):
                network = baseline.get_network(name, channel=3, num_classes=classes, im_size=(side, side), dist=False)
            else:
                network = models.model_dict[name](num_classes=classes)
            figures[branch][name] = figures_of(network, side, names=branch == "Branch_CIFAR_10" and name in TEACHERS)
        sys.path.remove(folder)
        for module in [each for each in sys.modules if each.partition(".")[0] in ("models", "baseline", "networks")]:
            del sys.modules[module]
    files = ["squeeze/models/*.py", "squeeze/networks.py", "squeeze/baseline.py"]
    commit = (checkout / "COMMIT").read_text().strip()
    write_golden("networks_edc", "https://github.com/shaoshitong/EDC", commit, files, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
