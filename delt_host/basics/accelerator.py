"""What is asked of an accelerator, whichever of torch's it is: whether it is there, its name and memory, its random states."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor

TESTED = ("cpu", "cuda")
"""The kinds of device on which the project's results have been looked at."""
WITHOUT_FLOAT64 = ("mps",)
"""Those that have no numbers of 64 bits after the point."""
ALIGNED = 64
"""Bytes between which tensors begin that are moved together: kernels read several numbers at once from such places."""


def accelerator() -> str | None:
    """The kind of this machine's accelerator (`cuda`, `mps`, `xpu`, …), as torch has it; None: there is none to be used."""
    if not torch.accelerator.is_available():
        return None
    found = torch.accelerator.current_accelerator()
    return found.type if found is not None else None


def device_name(device: str) -> str | None:
    """What the maker calls an accelerator, or its kind where torch does not tell; None on a processor."""
    kind = torch.device(device).type
    if kind == "cpu":
        return None
    tell = getattr(_module(kind), "get_device_name", None)
    return str(tell(torch.device(device))) if tell is not None else kind


def device_memory(device: str) -> int | None:
    """Bytes of an accelerator; None on a processor, and where it has none of its own or torch does not tell."""
    kind = torch.device(device).type
    tell = None if kind == "cpu" else getattr(_module(kind), "get_device_properties", None)
    return getattr(tell(torch.device(device)), "total_memory", None) if tell is not None else None


def multiplies_bf16(kind: str) -> bool:
    """Whether a kind of device multiplies bf16 natively, as far as torch tells; of Apple's it does not."""
    if kind == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported())
    tell = getattr(_module(kind), "is_bf16_supported", None)
    if kind == "mps" or tell is None:
        return False
    # CUDA's counts what it would emulate unless it is told not to.
    return bool(tell(including_emulation=False) if "including_emulation" in signature(tell).parameters else tell())


def widest(device: str | torch.device) -> torch.dtype:
    """The floats that sums and places in images are worked out in: float64, or float32 on a device that has no other."""
    return torch.float32 if torch.device(device).type in WITHOUT_FLOAT64 else torch.float64


def counts_memory(device: str) -> Any | None:
    """Torch's module of the device, which tells the most memory of tensors on it; None: it does not."""
    kind = torch.device(device).type
    module = None if kind == "cpu" else _module(kind)
    return module if hasattr(module, "reset_peak_memory_stats") and hasattr(module, "max_memory_allocated") else None


def random_states() -> list[Tensor]:
    """The states of the accelerators' global generators, one each; none where there is no accelerator."""
    kind = accelerator()
    if kind is None:
        return []
    if kind == "mps":  # has but one, without a number
        return [torch.mps.get_rng_state()]
    return [_module(kind).get_rng_state(place) for place in range(torch.accelerator.device_count())]


def put_random_states(states: Sequence[Tensor]) -> None:
    """Put back what `random_states` gave."""
    kind = accelerator()
    for place, state in enumerate(states if kind else ()):
        if kind == "mps":
            torch.mps.set_rng_state(state)
        else:
            _module(kind).set_rng_state(state, place)


def moved(device: str | torch.device, *tensors: Tensor) -> list[Tensor]:
    """The processor's tensors on the device, in one copy, for which nobody waits where the device is CUDA."""
    kind = torch.device(device).type
    if kind == "cpu" or not tensors:
        return list(tensors)
    places, end = [], 0
    for each in tensors:
        places.append(range(end, end + each.nbytes))
        end += -(-each.nbytes // ALIGNED) * ALIGNED
    whole = torch.empty(end, dtype=torch.uint8, pin_memory=kind == "cuda")
    for each, place in zip(tensors, places, strict=True):
        _part(whole, place, each).copy_(each)
    there = whole.to(device, non_blocking=kind == "cuda")
    return [_part(there, place, each) for each, place in zip(tensors, places, strict=True)]


def _part(whole: Tensor, place: range, like: Tensor) -> Tensor:
    """Bytes of a buffer as a tensor of the type and shape of another."""
    return whole[place.start : place.stop].view(like.dtype).view(like.shape)


def in_use() -> bool:
    """Whether there is an accelerator, and this process has begun to use it as far as torch tells."""
    kind = accelerator()
    return kind is not None and bool(getattr(_module(kind), "is_initialized", lambda: True)())


def _module(kind: str | None) -> Any:
    return torch.get_device_module(kind)
