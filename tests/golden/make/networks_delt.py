"""Writes golden/networks_delt.json: python networks_delt.py CHECKOUT of https://github.com/VILA-Lab/DELT."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from network_figures import figures_of

from published import write_golden

NETWORKS = {  # name and dataset, as `load_model` takes them: classes and pixels
    ("conv3", "cifar10"): (10, 32),
    ("conv4", "imagenet-1k"): (1000, 64),
    ("resnet18_modified", "tinyimagenet"): (200, 64),
    ("resnet101_modified", "cifar10"): (10, 32),
    ("mobilenet_v2_modified", "cifar10"): (10, 32),
    ("mobilenet_v2_modified", "tinyimagenet"): (200, 64),
}


def main(checkout: Path) -> None:
    sys.path.insert(0, str(checkout / "evaluation"))
    sys.modules["argument"] = types.ModuleType("argument")  # reads the command line
    sys.modules["argument"].args = None  # type: ignore[attr-defined]
    from model_utils.utils import load_model

    figures = {}
    for (name, dataset), (classes, side) in NETWORKS.items():
        torch.manual_seed(0)
        network = load_model(name, dataset, pretrained=False, classes=list(range(classes)))
        names = (name, classes) == ("mobilenet_v2_modified", 10)
        figures[f"{name}, {dataset}"] = {"classes": classes, "side": side, **figures_of(network, side, names)}
    commit = (checkout / "COMMIT").read_text().strip()
    files = ["evaluation/model_utils/utils.py", "evaluation/model_utils/models.py"]
    write_golden("networks_delt", "https://github.com/VILA-Lab/DELT", commit, files, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
