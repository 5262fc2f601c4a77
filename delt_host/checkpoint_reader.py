"""Reads a torch file, which is a pickle, weights only, and writes its tensors as safetensors.

`checkpoint.py` runs this file as a process of its own, which knows torch and safetensors alone and imports nothing of the
user's: python -I checkpoint_reader.py CHECKPOINT TENSORS. Its last line on standard error is the reason of a failure.
"""

import sys

import safetensors.torch
import torch

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "teacher")  # what training scripts put around the weights


def convert(checkpoint: str, tensors: str) -> str:
    """Write what the checkpoint holds to `tensors`; why it cannot be read, and nothing where it can."""
    try:
        loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # the file may be anything
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    state = _find(loaded)
    if not isinstance(state, dict):
        return f"holds a {type(state).__name__}, not a state dict"
    found = {str(key): value.clone().contiguous() for key, value in state.items() if isinstance(value, torch.Tensor)}
    if not found:
        return "holds no tensors"
    safetensors.torch.save_file(found, tensors)
    return ""


def _find(loaded: object) -> object:
    for key in WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            return _find(loaded[key])
    return loaded


if __name__ == "__main__":
    sys.exit(convert(sys.argv[1], sys.argv[2]) or None)
