"""Tensors kept from one run to the next to save time: whatever is wrong with such a file, it is as if there were none."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

METADATA = "delt_host.kept"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts as they were written; None where there are none or their checksum is another."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[METADATA])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return (tensors, about["facts"]) if about["checksum"] == _checksum(tensors, about["facts"]) else None
    except (OSError, KeyError, ValueError, TypeError, safetensors.SafetensorError):
        return None


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Written beside its place and renamed; a place that cannot be written only costs the next run its time."""
    about = {METADATA: json.dumps({"facts": facts, "checksum": _checksum(tensors, facts)})}
    with suppress(OSError, safetensors.SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent)
        os.close(descriptor)
        try:
            safetensors.torch.save_file(dict(tensors), temporary, metadata=about)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def add(total: hashlib._Hash, tensor: Tensor) -> None:
    """Its elements' bytes, in order, without a copy where they lie in order already."""
    total.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)


def _checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        add(total, tensors[name])
    return total.hexdigest()
