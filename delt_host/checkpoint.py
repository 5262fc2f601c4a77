"""Published checkpoints: read without trusting them, and fitted to a network with an error that helps.

A torch file is a pickle. It is read weights-only, and in a process of its own, which hands back safetensors.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from delt_host.errors import InputError

TIMEOUT = 300  # seconds for reading one checkpoint
SHOWN = 3  # keys of each kind in an error
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


def fit_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load the weights strictly; InputError that names missing, unexpected and misshapen keys."""
    own = model.state_dict()
    # SRe2L's and older files lack BatchNorm's batch counter, which nothing here reads.
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in own]
    misshapen = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = [
        f"{kind} {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if names
    ]
    if problems:
        raise InputError(
            f"the weights of {source} do not fit the network: {'; '.join(problems)}; is it another architecture, "
            "another number of classes, or a stem for another image size?"
        )
    model.load_state_dict({**own, **state})
