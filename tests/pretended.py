"""A pretended accelerator: its tensors say that they lie on a device, hold real data, and count what a real one waits for.

Its kind is `meta`, the one that torch always has and that computes nothing of its own. An operation that mixes its tensors with
the processor's is an error, as on CUDA: tensors of no dimension and indices may come from the processor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from delt_host.basics import accelerator
from delt_host.images.normalization import _kept

KIND = "meta"
DEVICE, CPU = torch.device(KIND), torch.device("cpu")

AUTOCAST = torch.autocast

WAITING = {
    "_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount",
}  # fmt: skip
"""Operators after which a processor must know what the device has computed: a value, or how many there are."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
MOVING = {"_to_copy", "copy_", "to"}  # the last under inference mode, where it is not taken apart


class Held(Tensor):
    """A tensor on the pretended device."""

    inner: Tensor
    """Its data, on the processor."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> Held:
        with torch.inference_mode(False):  # a tensor of that mode cannot wrap another
            return Tensor._make_wrapper_subclass(
                cls, inner.shape, inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=DEVICE
            )

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Held({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, Counter())


def _run(func: Any, args: Any, kwargs: dict[str, Any], counts: Counter[str]) -> Any:
    """What the operator gives, on the device where its operands are or where it was asked for."""
    name = func.name().removeprefix("aten::").split(".")[0]
    flat = torch.utils._pytree.tree_leaves((args, kwargs))
    held = [each for each in flat if isinstance(each, Held)]
    others = [each for each in flat if isinstance(each, Tensor) and not isinstance(each, Held)]
    wanted = kwargs.get("device")
    to_device = bool(held) if wanted is None else torch.device(wanted).type == KIND
    if name == "copy_":
        to_device = isinstance(args[0], Held)
    if name in MOVING:
        counts["copies"] += to_device and bool(others)
        counts["waits"] += bool(held) and bool(others or not to_device)
    elif held:
        counts["operators"] += 1
        counts["waits"] += name in WAITING or (name == "repeat_interleave" and kwargs.get("output_size") is None)
        if name in INDEXING:
            indices = [each for each in args[1] if each is not None]
            counts["waits"] += any(isinstance(each, Held) and each.dtype == torch.bool for each in indices)
            counts["copies"] += sum(not isinstance(each, Held) and each.ndim > 0 for each in indices)
            others = [each for each in others if not any(each is index for index in indices)]
        if wrong := [tuple(each.shape) for each in others if each.ndim]:
            raise RuntimeError(
                f"{name}: operands on two devices, {[tuple(each.shape) for each in held]} on {KIND} and {wrong} on the CPU"
            )
    kwargs = {**kwargs, "device": CPU} if wanted is not None else kwargs
    inside = {id(each.inner): each for each in held} | {id(each): each for each in others}
    out = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))

    def outside(each: Any) -> Any:
        if not isinstance(each, Tensor):
            return each
        if to_device and each.dtype == torch.float64 and KIND in accelerator.WITHOUT_FLOAT64:
            raise TypeError(f"{name}: a device of kind {KIND} has no float64")
        if id(each) in inside and func._schema.is_mutable:  # an operator in place gives the tensor that it got
            return inside[id(each)]
        return Held(each) if to_device else each

    return tree_map(outside, out)


def _inner(each: Any) -> Any:
    return each.inner if isinstance(each, Held) else each


class _Operators(TorchDispatchMode):
    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, self.counts)


class _Functions(TorchFunctionMode):
    """What does not come as an operator: making tensors of Python's numbers, and giving them back."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            made = func(*args, **{name: each for name, each in kwargs.items() if name != "device"})
            return made.to(kwargs["device"])
        if args and isinstance(args[0], Held):
            if func is Tensor.tolist:
                return args[0].detach().cpu().tolist()
            if func is Tensor.numpy:
                raise TypeError("a tensor on an accelerator is no array")
        return func(*args, **kwargs)


def _autocast(kind: str, *args: Any, **more: Any) -> Any:
    return nullcontext() if kind == KIND else AUTOCAST(kind, *args, **more)


@contextmanager
def pretended_accelerator(float64: bool = True) -> Iterator[Counter[str]]:
    """This machine has an accelerator inside the block, which `auto` takes; it may have no `float64`, as Apple's.

    Yields how often so far: `operators` it was given, `copies` to it, and `waits` for it.
    """
    counts: Counter[str] = Counter()
    module = SimpleNamespace(
        is_bf16_supported=lambda: False,
        get_rng_state=lambda _place: torch.random.get_rng_state(),
        set_rng_state=lambda _state, _place: None,  # the processor's, which is put back anyway
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, KIND, module, raising=False)
        patch.setattr(torch.accelerator, "is_available", lambda: True)
        patch.setattr(torch.accelerator, "current_accelerator", lambda *_, **_more: DEVICE)
        patch.setattr(torch.accelerator, "device_count", lambda: 1)
        patch.setattr(torch.accelerator, "synchronize", lambda *_: None)
        patch.setattr(torch, "autocast", _autocast)
        if not float64:
            patch.setattr(accelerator, "WITHOUT_FLOAT64", (*accelerator.WITHOUT_FLOAT64, KIND))
        _kept.cache_clear()
        with _Functions(), _Operators(counts):
            yield counts
        _kept.cache_clear()
