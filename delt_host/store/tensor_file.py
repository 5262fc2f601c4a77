"""Tensors in a safetensors file, written and read a piece at a time, so that memory holds a piece and not the file.

The file is eight bytes of the header's length, the header as JSON, and the tensors one after the other. A read takes what it
asks for and maps nothing: a mapped page counts as memory of the process once it was touched.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import safetensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
}
"""The format's names of types by torch's."""
_NAMES = {theirs: ours for ours, theirs in TYPES.items()}
_PIECE = 2**24  # bytes that are handed to the system at once
_ALIGNED = 8  # bytes


@dataclass(frozen=True)
class Streamed:
    """A tensor that is written as it comes: pieces along its first axis, in order, which together have its shape."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    pieces: Iterable[Tensor]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write(file: Path, tensors: Mapping[str, Tensor | Streamed], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors into a file. OSError; ValueError where pieces are not of the tensor that was announced, or of a type that
    the format does not know."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at, order = 0, sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # so that each is aligned
    for name in order:
        each = tensors[name]
        kind = str(each.dtype).removeprefix("torch.")
        if kind not in TYPES:
            raise ValueError(f"{name} is of {each.dtype}, which a safetensors file cannot hold")
        header[name] = {"dtype": TYPES[kind], "shape": list(each.shape), "data_offsets": [at, at + each.nbytes]}
        at += each.nbytes
    said = json.dumps(header, separators=(",", ":")).encode()
    said += b" " * (-len(said) % _ALIGNED)
    with file.open("wb", buffering=0) as opened:
        _put(opened, len(said).to_bytes(8, "little") + said)
        for name in order:
            each = tensors[name]
            for piece in _pieces(name, each) if isinstance(each, Streamed) else (each,):
                _put(opened, _bytes(piece.detach().cpu().contiguous()))


def _pieces(name: str, streamed: Streamed) -> Iterator[Tensor]:
    rows = 0
    for piece in streamed.pieces:
        if piece.dtype != streamed.dtype or tuple(piece.shape[1:]) != tuple(streamed.shape[1:]):
            raise ValueError(f"a piece of {name} is {piece.dtype} {tuple(piece.shape)}, not of {streamed.shape}")
        rows += len(piece)
        yield piece
    if rows != streamed.shape[0]:
        raise ValueError(f"{name} came as {rows} rows, not {streamed.shape[0]}")


def _put(opened: Any, content: bytes | memoryview) -> None:
    left = memoryview(content)
    while len(left):
        left = left[opened.write(left[:_PIECE]) :]


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor, which reads and writes go to straight away."""
    import torch

    return tensor.flatten().view(torch.uint8).numpy().data


class Rows(Protocol):
    """Tensors by name, of which rows are read, wherever they lie."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def shape(self, name: str) -> tuple[int, ...]: ...

    def dtype(self, name: str) -> torch.dtype: ...

    def read(self, name: str, rows: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Held:
    """Rows of tensors in memory."""

    tensors: Mapping[str, Tensor]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        return self.tensors[name].dtype

    def read(self, name: str, rows: Tensor | None = None) -> Tensor:
        return self.tensors[name] if rows is None else self.tensors[name][rows]


class TensorFile:
    """The tensors of a safetensors file, of which rows are read. It keeps nothing open.

    OSError, ValueError or SafetensorError where the file is none, or no longer what it was; where rows are read, what
    `guard` makes of these.
    """

    def __init__(self, path: Path, guard: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.path, self._guard = path, guard
        # Python's errors have their numbers; the library checks the header, of which it touches no more.
        with path.open("rb") as opened, safetensors.safe_open(path, "numpy") as checked:
            self._state = _state(opened)
            self.metadata: dict[str, str] = checked.metadata() or {}
            length = int.from_bytes(opened.read(8), "little")
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        self._begin = 8 + length
        self._header: dict[str, Any] = header

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._header)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._header[name]["shape"])

    def dtype(self, name: str) -> torch.dtype:
        """ValueError where torch has none such."""
        import torch

        said = self._header[name]["dtype"]
        if said not in _NAMES:
            raise ValueError(f"its tensor {name!r} is of a type {said}, which is not read")
        found: torch.dtype = getattr(torch, _NAMES[said])
        return found

    def nbytes(self, name: str) -> int:
        begin, end = self._header[name]["data_offsets"]
        return int(end - begin)

    def read(self, name: str, rows: Tensor | None = None) -> Tensor:
        """A tensor, or its rows (R,) in the order asked for, in memory of its own; rows that follow one another are read in one
        go. IndexError for a row that it has not."""
        import torch

        shape, dtype = self.shape(name), self.dtype(name)
        at = self._begin + int(self._header[name]["data_offsets"][0])
        if rows is None:
            made, runs = torch.empty(shape, dtype=dtype), [(0, 0, self.nbytes(name))]
        else:
            if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < shape[0]:
                raise IndexError(f"{name} has rows 0 to {shape[0] - 1}")
            made, one = torch.empty((len(rows), *shape[1:]), dtype=dtype), math.prod(shape[1:]) * dtype.itemsize
            runs = [(first * one, place * one, count * one) for place, first, count in _runs(rows.tolist())]
        into = _bytes(made)
        with self._guard(), self.path.open("rb", buffering=0) as opened:
            if _state(opened) != self._state:
                raise ValueError("another file has taken its place")
            for source, place, count in runs:
                opened.seek(at + source)
                _fill(opened, into[place : place + count], self.path)
        return made

    def all(self) -> dict[str, Tensor]:
        """Every tensor, in memory."""
        return {name: self.read(name) for name in self.names}


def _runs(rows: list[int]) -> Iterator[tuple[int, int, int]]:
    """Rows that follow one another: the place in what is asked for, the first row, how many."""
    begin = 0
    for place in range(1, len(rows) + 1):
        if place == len(rows) or rows[place] != rows[place - 1] + 1:
            yield begin, rows[begin], place - begin
            begin = place


def _state(opened: Any) -> tuple[int, int]:
    """What tells a file from another that has come to lie in its place."""
    found = os.fstat(opened.fileno())
    return found.st_ino, found.st_size


def _fill(opened: Any, into: memoryview, path: Path) -> None:
    while len(into):
        got = opened.readinto(into[:_PIECE])
        if not got:
            raise ValueError(f"{path} is shorter than it says")
        into = into[got:]
