"""Reads a torch file, which is a pickle, weights only, and writes its tensors as safetensors.

`checkpoint.py` runs this file as a process of its own, which knows torch and safetensors alone and imports nothing of the
user's: python -I checkpoint_reader.py CHECKPOINT TENSORS. Its last line on standard error is the reason of a failure. What
the file says of itself is not believed: memory and what is written are bounded by the file's size.
"""

import os
import re
import sys
import zipfile
from pathlib import Path

import safetensors.torch
import torch

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "teacher")  # what training scripts put around the weights
DEEPEST = 8  # wrappers in wrappers
MOST_TENSORS = 100_000
TIMES = 4  # of the file's size, which weights that are tied or kept twice may take
SPARE = 16 * 2**20  # bytes beside that
MEMORY = 512 * 2**20  # bytes beside that while it is read


def convert(checkpoint: str, tensors: str) -> str:
    """Write what the checkpoint holds to `tensors`; why it cannot be read, and nothing where it can."""
    if not Path(checkpoint).stat().st_size:
        return "it is empty"
    most = most_of(checkpoint)
    try:
        if reason := _unpacks_to_more(checkpoint, most):
            return reason
        state = _find(torch.load(checkpoint, map_location="cpu", weights_only=True))
        if not isinstance(state, dict):
            return f"it holds a {type(state).__name__}, not a state dict"
        found = {str(key): value for key, value in state.items() if isinstance(value, torch.Tensor)}
        if reason := _wrong(found, most):
            return reason
        # Tensors that share memory are copied, each with its own.
        safetensors.torch.save_file({name: value.clone().contiguous() for name, value in found.items()}, tensors)
    except MemoryError:
        return "it takes more memory than a file of its size may"
    except Exception as error:  # the file may be anything
        return _reason(error)
    return ""


def most_of(checkpoint: str) -> int:
    """The bytes that what a file holds may take."""
    return TIMES * Path(checkpoint).stat().st_size + SPARE


def limit(most: int) -> None:
    """Bound what this process takes and writes, for good, where the system can."""
    torch.set_num_threads(1)  # each thread takes a stack
    try:
        import resource

        data = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]  # private memory, as the limit counts it
        held = int(data) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):
        return
    for name, bound in ((resource.RLIMIT_DATA, held + most + MEMORY), (resource.RLIMIT_FSIZE, most)):
        hard = resource.getrlimit(name)[1]
        resource.setrlimit(name, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def _unpacks_to_more(checkpoint: str, most: int) -> str:
    """Why a zip file, as torch writes them, is none: it would unpack to more than it holds."""
    if not zipfile.is_zipfile(checkpoint):
        return ""
    with zipfile.ZipFile(checkpoint) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > most:
            return "it unpacks to more than a file of its size may hold"
    return ""


def _find(loaded: object) -> object:
    for _ in range(DEEPEST):
        inner = next((loaded[key] for key in WRAPPERS if isinstance(loaded, dict) and key in loaded), None)
        if not isinstance(inner, dict):
            break
        loaded = inner
    return loaded


def _wrong(found: dict[str, torch.Tensor], most: int) -> str:
    """What is the matter with these tensors; nothing where they can be written."""
    if not found:
        return "it holds no tensors"
    if len(found) > MOST_TENSORS:
        return f"it holds {len(found):,} tensors; at most {MOST_TENSORS:,} are read"
    total = 0
    for name, tensor in found.items():
        kinds = {
            "meta": tensor.is_meta,
            "nested": tensor.is_nested,
            "sparse": not tensor.is_meta and tensor.layout is not torch.strided,
            "quantised": tensor.is_quantized,
            "complex": tensor.is_complex(),
        }
        if odd := [kind for kind, is_so in kinds.items() if is_so]:
            return f"its tensor {name[:100]!r} is {odd[0]}; weights must be plain, dense numbers"
        total += tensor.numel() * tensor.element_size()
        if total > most:
            return f"its tensors up to {name[:100]!r} would take {total:,} bytes, far more than the file holds"
    return ""


def _reason(error: Exception) -> str:
    """The error in our words where torch's advise to load unsafely, else its first line."""
    said = str(error)
    if named := re.search(r"GLOBAL ([\w.]+)", said):
        return (
            f"it holds an object of {named[1]} beside tensors, which is not read; save the weights alone: "
            "torch.save(model.state_dict(), FILE)"
        )
    if "TorchScript" in said:
        return "it is a TorchScript archive; save the weights alone: torch.save(model.state_dict(), FILE)"
    if "weights_only" in said or "Weights only" in said:
        return "it is no file of tensors that torch has written; give one of torch.save(model.state_dict(), FILE)"
    if "allocate memory" in said:
        return "it takes more memory than a file of its size may"
    return f"{type(error).__name__}: {said.splitlines()[0] if said else ''}"


if __name__ == "__main__":
    limit(most_of(sys.argv[1]))
    sys.exit(convert(sys.argv[1], sys.argv[2]) or None)
