"""Checkpoints of an unfinished stage: after a kill it goes on where the last one was written, to the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

EVERY = 30.0  # seconds between checkpoints: what a kill costs at most
DIGEST = 32  # bytes of SHA-256, before the tensors
FACTS = "facts"  # the tensor that holds JSON


class Checkpoint:
    """One file that is replaced as a whole; a damaged one counts as none. Only safetensors and JSON are ever read."""

    def __init__(self, path: Path | None, every: float = EVERY, warn: Callable[[str], None] = lambda _m: None) -> None:
        """`path` None: nothing is kept. `every` is in seconds."""
        self.path, self.every, self.warn = path, every, warn
        self.began = self.last = time.monotonic()
        self.spent = 0.0
        """Seconds that went into the checkpoint that was loaded."""

    @property
    def due(self) -> bool:
        """Whether it is time to write one."""
        return self.path is not None and time.monotonic() - self.last >= self.every

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts as they were saved, or None."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            content = self.path.read_bytes()
            if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
                raise ValueError("its checksum differs")
            tensors = safetensors.torch.load(content[DIGEST:])
            facts = json.loads(bytes(tensors.pop(FACTS).tolist()))
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            self.warn(f"the checkpoint {self.path} cannot be used ({error}); its stage starts anew")
            return None
        self.spent = facts.pop("spent")
        return tensors, facts

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write one now. A disk that is full costs a warning, not the run."""
        self.last = time.monotonic()
        if self.path is None:
            return
        text = json.dumps({**facts, "spent": self.spent + self.last - self.began}).encode()
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = safetensors.torch.save({**kept, FACTS: torch.tensor(list(text), dtype=torch.uint8)})
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(content).digest() + content)
            beside.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                beside.unlink()
            self.warn(f"no checkpoint could be written to {self.path}: {error.strerror or error}")

    def clear(self) -> None:
        """The stage is finished."""
        if self.path is not None:
            with suppress(OSError):  # the stage's result is kept, and nobody asks for this any more
                self.path.unlink(missing_ok=True)
