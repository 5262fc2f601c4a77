"""Files of tensors that others published, read without trusting them: torch's, which are pickles, and safetensors.

A torch file is read in a process of its own, which calls nothing that the file names, and hands back safetensors;
`torch_file.py` says how.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from delt_host import InputError
from delt_host.workshop import plain
from delt_plugins.teachers.torch_file import Place

TIMEOUT = 300  # seconds for reading one file
LONGEST = 300  # characters of a reason
SHOWN = 4  # names in a note

READER = Path(__file__).with_name("checkpoint_reader.py")


@dataclass(frozen=True)
class Contents:
    """What a file holds."""

    tensors: Mapping[Place, Tensor]
    """On the CPU, each with memory of its own."""
    odd: Mapping[Place, str] = field(default_factory=dict)
    """Tensors that cannot be read, and why: "is sparse"."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Numbers in the outermost dictionary by their keys; one that was saved alone under ""."""
    passed_over: tuple[str, ...] = ()
    """The names of what else lies in it."""

    def notes(self) -> tuple[str, ...]:
        """One sentence, or none."""
        if not self.passed_over:
            return ()
        more = len(self.passed_over) - SHOWN
        names = ", ".join(plain(name)[:LONGEST] for name in self.passed_over[:SHOWN])
        return (f"passed over, and none of it called: {names}{f' and {more} more' if more > 0 else ''}",)


def read_contents(path: Path) -> Contents:
    """All tensors of a file that torch or safetensors has written. InputError names the file and the reason."""
    if path.is_dir():
        files = sorted(each.name for each in path.iterdir() if each.suffix in SUFFIXES)
        held = f"; it has {', '.join(files[:SHOWN])}" if files else ""
        raise InputError(f"{path} is a folder: name the file of weights{held}")
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
        if reason := _not_tensors(head):
            raise InputError(f"{path} is not a checkpoint but {reason}")
        if _is_safetensors(head, path.stat().st_size) or path.suffix == ".safetensors":
            return Contents({(name,): tensor for name, tensor in safetensors.torch.load_file(path).items()})
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "tensors.safetensors"
            if reason := _converted(path, result):
                raise InputError(f"the checkpoint {path} cannot be read: {reason}")
            return _handed_back(result)
    except subprocess.TimeoutExpired:
        raise InputError(f"the checkpoint {path} took more than {TIMEOUT} s to read") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"the checkpoint {path} cannot be read: {error}") from None


SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors")
"""Of files of tensors."""
HEAD = 512  # bytes that tell what a file is

KINDS = (
    (
        rb"\s*<(!doctype html|html|head|\?xml)",
        "an HTML page, as a site gives in place of a file; fetch the file itself",
    ),
    (rb"version https://git-lfs", "a pointer of Git LFS; fetch what it stands for with: git lfs pull"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a packed file; unpack it"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes; save the weights with torch"),
    (rb"\x93NUMPY", "a NumPy array; save a state dict with torch"),
    (rb".{257}ustar", "a tar archive, or of torch before 0.2; unpack it, or load it there and save it again"),
    (rb"[\t\n\r\x20-\x7e]{16}[\t\n\r\x20-\x7e\x80-\xff]*\Z", "a text; give a file that torch has saved"),
)
"""How files begin that are often taken for checkpoints, and what they are."""


def _not_tensors(head: bytes) -> str:
    """What a file is that begins so, where it is none of tensors."""
    if not head:
        return "an empty file"
    return next((what for begins, what in KINDS if re.match(begins, head, re.IGNORECASE | re.DOTALL)), "")


def _is_safetensors(head: bytes, size: int) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def _converted(path: Path, result: Path) -> str:
    """Have a process of its own write the tensors of a torch file as safetensors; why it could not."""
    # -I: nothing of the user's folder or environment is imported into the process that reads the file.
    reader = [sys.executable, "-I", str(READER), str(path), str(result)]
    done = subprocess.run(reader, capture_output=True, text=True, errors="replace", timeout=TIMEOUT, check=False)
    if not done.returncode:
        return ""
    lines = done.stderr.strip().splitlines()
    said = plain(lines[-1]) if lines else f"its reader died ({done.returncode})"
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} …"


def _handed_back(file: Path) -> Contents:
    with safetensors.safe_open(file, "pt") as opened:
        about = json.loads(opened.metadata()["content"])
        tensors = {tuple(place): opened.get_tensor(str(i)) for i, place in enumerate(about["places"])}
    odd = {tuple(place): reason for place, reason in about["odd"]}
    return Contents(tensors, odd, about["numbers"], tuple(about["passed over"]))
