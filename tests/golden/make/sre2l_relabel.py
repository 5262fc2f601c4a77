"""Write sre2l_relabel.json: how batches are mixed for labels, from a checkout of VILA-Lab/SRe2L."""

from __future__ import annotations

import sys
import types
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy
import torch
from recovering import commit_of, module_of, on_the_cpu, seven

from made_inputs import made_levels, made_order
from published import places_of, write_golden

FILES = ["SRe2L/relabel/utils_fkd.py"]
BOXES = [(0.5, 10, 20), (0.1, 3, 30), (0.9, 31, 0), (0.37, 16, 16), (0.999, 5, 5), (0.0, 0, 31)]  # lam, centre
SIZE, COUNT = 32, 12
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def main(checkout: Path) -> None:
    fkd = module_of(checkout / FILES[0])
    figures = {
        "boxes": [[*case, mixed(fkd, "cutmix", *case)["box"]] for case in BOXES],
        "cutmix": mixed(fkd, "cutmix", *BOXES[0]),
        "mixup": mixed(fkd, "mixup", *BOXES[3]),
    }
    write_golden("sre2l_relabel", "https://github.com/VILA-Lab/SRe2L", commit_of(checkout), FILES, figures)


@contextmanager
def drawn(share: float, *centre: int) -> Any:
    """Draws of the mix: the share, the order of partners, and the box's centre."""
    coordinates = iter(centre)
    with (
        patch.object(numpy.random, "beta", lambda _a, _b: share),
        patch.object(numpy.random, "randint", lambda _high: next(coordinates)),
        patch.object(torch, "randperm", made_order),
        on_the_cpu(),
    ):
        yield


def mixed(fkd: types.ModuleType, kind: str, share: float, *centre: int) -> dict[str, Any]:
    images = (made_levels(COUNT, SIZE).float() / 255 - MEAN) / STD
    args = Namespace(mode="fkd_save", mix_type=kind, cutmix=1.0, mixup=0.8)
    with drawn(share, *centre):
        views, partners, lam, box = fkd.mix_aug(images.clone(), args)
    assert partners.tolist() == made_order(COUNT).tolist() and lam == share
    box = None if box is None else [int(each) for each in box]
    return {"share": share, "box": box, "norm": seven(views.norm()), "some": seven(places_of(views))}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
