"""Writes golden/networks_rded.json: python networks_rded.py CHECKOUT of https://github.com/LINs-lab/RDED."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import torch
from network_figures import figures_of

from published import write_golden

NETWORKS = {  # name and dataset, as `load_model` takes them: classes and pixels
    ("conv3", "cifar10"): (10, 32),
    ("conv4", "tinyimagenet"): (200, 64),
    ("conv5", "imagenet-nette"): (10, 128),
    ("conv6", "imagenet-100"): (100, 128),
    ("resnet18_modified", "cifar10"): (10, 32),
}


def main(checkout: Path) -> None:
    sys.path.insert(0, str(checkout))
    sys.modules["argument"] = types.ModuleType("argument")  # reads the command line
    sys.modules["argument"].args = None  # type: ignore[attr-defined]
    from synthesize.utils import load_model

    figures = {}
    for (name, dataset), (classes, side) in NETWORKS.items():
        torch.manual_seed(0)
        network = load_model(name, dataset, pretrained=False, classes=list(range(classes)))
        figures[name] = {"classes": classes, "side": side, **figures_of(network, side, names=name.startswith("conv"))}
    commit = (checkout / "COMMIT").read_text().strip()
    files = ["synthesize/utils.py", "synthesize/models.py"]
    write_golden("networks_rded", "https://github.com/LINs-lab/RDED", commit, files, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
