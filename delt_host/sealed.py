"""Tensors and facts in one file that is replaced as a whole, its SHA-256 in front: checkpoints, and what lies in which file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_host.entry import reading
from delt_host.files import writing

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = 32  # bytes of SHA-256, before the tensors
FACTS = "facts"  # the tensor that holds JSON


def read(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts as they were written; errors as `reading`."""
    import safetensors.torch

    with reading(place):
        tensors = safetensors.torch.load(_content(place))
        facts = json.loads(tensors.pop(FACTS).numpy().tobytes())
        return tensors, dict(facts)


def check(place: Path) -> None:
    """Whether it is whole: errors as `reading`. Without torch."""
    with reading(place):
        _content(place)


def write(place: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], like: Path | None = None) -> None:
    """Put it into its place, as `files.write`. OSError."""
    import safetensors.torch
    import torch

    text = torch.frombuffer(bytearray(json.dumps(facts).encode()), dtype=torch.uint8)
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save({**kept, FACTS: text})
    with writing(place, like) as beside, beside.open("wb") as file:
        file.write(hashlib.sha256(content).digest())
        file.write(content)


def _content(place: Path) -> bytes:
    with place.open("rb") as file:
        digest, content = file.read(DIGEST), file.read()
    if hashlib.sha256(content).digest() != digest:
        raise ValueError("its checksum differs")
    return content
