"""Where and how the arithmetic runs: device, precision and memory layout, the same for every plugin."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from delt_host.basics import instance_norm, norm_relu_pool
from delt_host.basics.accelerator import TESTED, accelerator, moved, multiplies_bf16
from delt_host.basics.errors import InputError
from delt_host.basics.units import duration

Precision = Literal["fp32", "bf16"]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
_keeps = False  # whether freed memory stays with this process

PASS = 500  # images of small size in one forward pass: their maps take a few GB in any of our networks
SMALL = 32  # px; larger images fill a processor, and memory, with a group of their own


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, where the C library is glibc; nothing elsewhere.

    Activations of a few tens of MiB are freed and asked for again in every iteration. By default the system takes them
    back each time and hands them out anew page by page, cleared, which takes a third of a ConvNet's iteration on a CPU.
    """
    global _keeps
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        _keeps = True


def give_freed_memory_back() -> None:
    """After a piece of work, where `keep_freed_memory` was asked for: what is free goes to the system.

    Inside a piece of work sizes repeat; the next one may be of others, and has no use for the most that this one took.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _keeps else None
    if trim is not None:
        trim(0)


def use_threads(count: int | None) -> int:
    """Set, where a number is given, and tell how many threads of the processor an operation is divided among.

    Sums are rounded by how they are divided: results are the same bits only for the same number.
    """
    if count is not None:
        torch.set_num_threads(count)
    return torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[int]:
    """So many threads inside the block, and afterwards as many as there were."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)


def own_process(threads: int | None = None) -> int:
    """Make this process one for computing, and tell its number of threads: for a command's or a worker's own process alone.

    What is called from Python changes nothing that its caller did not ask for.
    """
    gc.freeze()  # what was imported stays, and is not looked through for circles again and again
    keep_freed_memory()
    return use_threads(threads)


@dataclass(frozen=True)
class Compute:
    """A device and a precision. `bf16` is autocast: weights, statistics, losses and pixels stay float32."""

    device: str
    """`cpu`, or an accelerator as torch names it: `cuda`, `cuda:N`, `mps`, `xpu`, …"""
    precision: Precision
    """Of the arithmetic inside `autocast`."""
    stack: int = 0
    """Groups that recovery puts into one forward pass where the matcher takes several. 0: by the size of the images."""
    compiled: bool = False
    """Whether placed networks use operators compiled on this machine."""

    @classmethod
    def choose(
        cls, device: str = "auto", precision: str = "auto", stack: int | None = None, compiled: bool = False
    ) -> Compute:
        """Resolve `auto`: torch's accelerator where there is one, bf16 where the hardware multiplies it natively, else fp32.

        InputError for a device or precision that is unknown or not there, and for `compiled` where nothing can be.
        """
        if precision not in ("auto", "fp32", "bf16"):
            raise InputError(f"precision {precision!r} is not known; use auto, fp32 or bf16")
        if device == "auto":
            device = accelerator() or "cpu"
        try:
            kind = torch.device(device).type
        except RuntimeError:
            raise InputError(f"device {device!r} is not known; use auto, cpu, cuda, cuda:N, mps or xpu") from None
        if kind not in ("cpu", accelerator()):
            raise InputError(
                f"device {device!r} was asked for, but torch {torch.__version__} sees no {kind} device here, only "
                f"{' and '.join(filter(None, ('cpu', accelerator())))}; use --device auto"
            )
        number = torch.device(device).index or 0
        if number >= (count := torch.accelerator.device_count() if kind != "cpu" else 1):
            raise InputError(
                f"device {device!r} was asked for, but there {_are(count)}, counted from 0; use --device auto"
            )
        if precision == "auto":
            precision = "bf16" if multiplies_bf16(kind) else "fp32"
        if compiled:
            if kind != "cpu":
                raise InputError(f"--compile has operators for the processor alone, not for {device}: leave it out")
            norm_relu_pool.prepare()
        return cls(device, "bf16" if precision == "bf16" else "fp32", stack or 0, compiled)

    @property
    def compiling(self) -> str:
        """A sentence on how long compiling took; empty where nothing is compiled."""
        if not self.compiled:
            return ""
        took = norm_relu_pool.seconds()
        return (
            f"Compiling took {duration(took)} and is kept." if took else "What --compile compiles is kept from before."
        )

    @property
    def key(self) -> list[Any]:
        """What results depend on of it: a part of store keys."""
        return [self.device, self.precision, *([norm_relu_pool.identity()] if self.compiled else [])]

    @property
    def note(self) -> str | None:
        """What is to be said of the device before a run; None where nothing is."""
        kind = torch.device(self.device).type
        return None if kind in TESTED else f"device {self.device}: untested; nobody has looked at results from {kind}"

    def groups_at_once(self, images: int, image_size: int) -> int:
        """The groups of so many images that go into one pass.

        Small images leave a GPU idle, and on a CPU pay an iteration's fixed cost over and over; several groups share it.
        """
        return self.stack or (max(PASS // images, 1) if image_size <= SMALL else 1)

    def autocast(self) -> AbstractContextManager[object]:
        """Around the arithmetic that may take the precision: a block of ``with``; nothing under fp32."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def place(self, model: nn.Module) -> nn.Module:
        """The model itself on the device, moved in one copy, in channels_last, in which convolutions are fastest anywhere.

        On a CPU its instance norms become `ByChannel`; compiled operators, where they are asked for, take the place of the
        layers that they fit.
        """
        if self.compiled:
            norm_relu_pool.fuse(model)
        if torch.device(self.device).type == "cpu":
            instance_norm.lay_out(model)
        if self.device != "cpu":
            tensors = {id(each): each.detach() for each in (*model.parameters(), *model.buffers()) if each.is_cpu}
            there = dict(zip(tensors, moved(self.device, *tensors.values()), strict=True))
            # Tensors of their own, aligned as the device's allocator does, instead of parts of what was moved.
            model._apply(lambda each: there[id(each)].clone() if id(each) in there else each.to(self.device))
        return model.to(memory_format=torch.channels_last)


def _are(count: int) -> str:
    return "is one device of this kind" if count == 1 else f"are {count} devices of this kind"
