"""Writes golden/networks_cifar100.json: python networks_cifar100.py CHECKOUT of https://github.com/weiaicunzai/pytorch-cifar100."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from network_figures import figures_of

from published import write_golden


def main(checkout: Path) -> None:
    sys.path.insert(0, str(checkout))
    from models.mobilenetv2 import mobilenetv2
    from models.resnet import resnet18

    figures = {}
    for build in (resnet18, mobilenetv2):
        torch.manual_seed(0)
        figures[build.__name__] = figures_of(build(), 32, names=build is resnet18)
    commit = (checkout / "COMMIT").read_text().strip()
    files = ["models/resnet.py", "models/mobilenetv2.py"]
    write_golden("networks_cifar100", "https://github.com/weiaicunzai/pytorch-cifar100", commit, files, figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
