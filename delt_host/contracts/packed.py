"""What a form has packed of all units of a set, in the pieces that it was made in: read by units, never held as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.basics.errors import RunError
from delt_host.contracts.form import Form
from delt_host.store.tensor_file import Held, Rows

LEARNED = ("labels", "learning_rate", "weights")
"""What is kept beside what the form packs, where it was learned."""
RESERVED = ("targets", *LEARNED)
READ_AT_ONCE = 256
"""Images that are decoded together where a whole set is gone through."""
SMALL = 2**26
"""Bytes of a set that is read once and stays in memory: a file is slower than a small network is."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Some of the units, as they were packed together: an entry of the store, a file, or tensors in memory."""

    rows: Rows
    units: Tensor
    """(R,) int64: the places in the set of its rows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of what the form packed."""
        return tuple(sorted(set(self.rows.names).difference(RESERVED)))


class Packed:
    """Tensors of U units each. A read opens the files that it needs, and holds the rows that were asked for; a small set is
    held once it was read."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        """The pieces have each of the units once. RunError where they are not packed alike."""
        self._pieces = tuple(pieces)
        self._piece = torch.cat([torch.full_like(each.units, place) for place, each in enumerate(pieces)])
        self._row = torch.cat([torch.arange(len(each.units)) for each in pieces])
        order = torch.cat([each.units for each in pieces]).argsort()
        self._piece, self._row = self._piece[order], self._row[order]
        self._held: dict[str, Tensor] | None = None
        first = self._pieces[0]
        self.names = first.names
        self._kinds = {name: _kind(first, name) for name in self.names}
        for each in self._pieces[1:]:
            if each.names != self.names or any(_kind(each, name) != self._kinds[name] for name in self.names):
                raise RunError(f"the form packed some units as {_told(first)}, and others as {_told(each)}")

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Packed:
        """Tensors in memory, of all units."""
        rows = Held(tensors)
        return cls([Piece(rows, torch.arange(len(next(iter(tensors.values())))))])

    def __len__(self) -> int:
        """U."""
        return len(self._row)

    def dtype(self, name: str) -> torch.dtype:
        return self._kinds[name][0]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of all units."""
        return len(self), *self._kinds[name][1]

    @property
    def nbytes(self) -> int:
        return len(self) * sum(shape.numel() * dtype.itemsize for dtype, shape in self._kinds.values())

    def take(self, units: Tensor, names: Sequence[str] | None = None) -> dict[str, Tensor]:
        """The rows of these units (B,), in this order, in memory; of these tensors, or all. RunError where a file is gone or
        is no longer what it was; IndexError for a unit that it has not."""
        if self._held is None and self.nbytes <= SMALL:
            self._held = self._read(torch.arange(len(self)), self.names)
        if self._held is not None:
            return {name: self._held[name][units] for name in names or self.names}
        return self._read(units, names or self.names)

    def _read(self, units: Tensor, wanted: Sequence[str]) -> dict[str, Tensor]:
        piece, row = self._piece[units], self._row[units]
        if len(used := piece.unique().tolist()) == 1:
            return {name: self._pieces[used[0]].rows.read(name, row) for name in wanted}
        found = {name: torch.empty(len(units), *self._kinds[name][1], dtype=self.dtype(name)) for name in wanted}
        for each in used:
            here = (piece == each).nonzero().flatten()
            for name, into in found.items():
                into[here] = self._pieces[each].rows.read(name, row[here])
        return found

    def slices(self, name: str) -> Iterator[Tensor]:
        """A tensor from its first unit to its last, a few units at a time."""
        for units in torch.arange(len(self)).split(READ_AT_ONCE):
            yield self.take(units, (name,))[name]

    def images(self, form: Form, indices: Tensor) -> Tensor:
        """The images at `indices` (B,) of the set, as uint8 RGB (B, 3, S, S)."""
        return form.read(self.take(indices // form.cells), indices % form.cells)


def _kind(piece: Piece, name: str) -> tuple[torch.dtype, torch.Size]:
    """Of a unit."""
    return piece.rows.dtype(name), torch.Size(piece.rows.shape(name)[1:])


def _told(piece: Piece) -> str:
    kinds = [(name, *_kind(piece, name)) for name in piece.names]
    return ", ".join(f"{name!r} {dtype} {list(shape)}" for name, dtype, shape in kinds) or "nothing"


def check_packed(form: Form, packed: Mapping[str, Tensor], units: int, size: int) -> None:
    """RunError where a form breaks its contract: what it packed of so many units of images of `size` px."""
    for name in packed:
        if name in RESERVED:
            raise RunError(f"it packed a tensor {name!r}, a name that the host uses itself; choose another")
    check_rows(form, Held(packed), units, size)


def check_rows(form: Form, rows: Rows, units: int, size: int | None = None) -> None:
    """The same of what lies in a file, beside what was learned; of images of any size where none is given."""
    piece = Piece(rows, torch.arange(units))
    if not piece.names:
        raise RunError("it packed nothing; give tensors of a unit each along their first dimension")
    for name in piece.names:
        if not (shape := rows.shape(name)) or shape[0] != units:
            raise RunError(f"it packed {name!r} of shape {tuple(shape)}, whose first dimension must be {units} units")
    packed, last = Packed([piece]), units * form.cells - 1
    image = packed.images(form, torch.tensor([last]))
    size = size or image.shape[-1]
    if image.dtype != torch.uint8 or tuple(image.shape) != (1, 3, size, size):
        raise RunError(f"it read an image as {image.dtype} {tuple(image.shape)}, not uint8 (1, 3, {size}, {size})")
    both = packed.images(form, torch.tensor([0, last]))
    if len(both) != 2 or not torch.equal(both[1:], image):
        raise RunError(
            "it reads an image otherwise beside another than alone; `packed` has a row for each image asked for"
        )
