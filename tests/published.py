"""Figures that published code printed on inputs which a test makes by itself.

`golden/NAME.json` has them, and says which repository, commit and files printed them; `golden/make/NAME.py REPOSITORY` writes
it anew from a checkout of that repository. Figures alone are kept, none of the code. Inputs of both are in `made_inputs`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

GOLDEN = Path(__file__).with_name("golden")


def golden(name: str) -> dict[str, Any]:
    """The figures of `golden/NAME.json`."""
    figures: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["figures"]
    return figures


def write_golden(name: str, repository: str, commit: str, files: list[str], figures: dict[str, Any]) -> None:
    """Keep what the files of a repository, at a commit, printed."""
    about = {"repository": repository, "commit": commit, "files": files, "figures": figures}
    (GOLDEN / f"{name}.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def places_of(tensor: Tensor, count: int = 12) -> Tensor:
    """So many values of a tensor, evenly apart: few enough to keep, enough to tell another tensor."""
    flat = tensor.detach().flatten()
    return flat[torch.arange(count) * (len(flat) // count) + 5]
