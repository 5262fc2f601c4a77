"""Published checkpoints, read without trusting them.

A torch file is a pickle. It is read weights-only, and in a process of its own, which hands back safetensors.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from delt_host import InputError

TIMEOUT = 300  # seconds for reading one checkpoint
LONGEST = 300  # characters of a reason
MOST_PREFIXES = 8

READER = Path(__file__).with_name("checkpoint_reader.py")

PREFIXES = ("module.", "_orig_mod.", "backbone.", "model.")  # what wrappers put before every key


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors by name, wrappers' prefixes removed. InputError names the file and the reason."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        if path.suffix == ".safetensors":
            return _without_prefixes(safetensors.torch.load_file(path))
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "state.safetensors"
            if reason := _converted(path, result):
                raise InputError(f"the checkpoint {path} cannot be read: {reason}")
            return _without_prefixes(safetensors.torch.load_file(result))
    except subprocess.TimeoutExpired:
        raise InputError(f"the checkpoint {path} took more than {TIMEOUT} s to read") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"the checkpoint {path} cannot be read: {error}") from None


def _converted(path: Path, result: Path) -> str:
    """Have a process of its own write the tensors of a torch file as safetensors; why it could not."""
    # -I: nothing of the user's folder or environment is imported into the process that reads the file.
    reader = [sys.executable, "-I", str(READER), str(path), str(result)]
    done = subprocess.run(reader, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines()
    said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", lines[-1]) if lines else f"its reader died ({done.returncode})"
    return "".join(each if each.isprintable() else "?" for each in said)[:LONGEST]


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for _ in range(MOST_PREFIXES):
        prefix = next((each for each in PREFIXES if state and all(name.startswith(each) for name in state)), "")
        if not prefix:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state
