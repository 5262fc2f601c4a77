"""Representations that fit a line of a notebook: tensors by their shape, long things by their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

LONG = 4  # elements; more are counted


class Brief:
    """A dataclass whose representation shows no numbers of tensors."""

    def __repr__(self) -> str:
        shown = [f"{each.name}={brief(getattr(self, each.name, None))}" for each in fields(self) if each.repr]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(shown)})"


def brief(value: Any) -> str:
    """`uint8 (500, 3, 32, 32)` for a tensor, `62 entries` for a long table; others as they are.

    >>> brief({"a": 1}), brief(tuple(range(100)))
    ("{'a': 1}", '100 of int')
    """
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"
    if isinstance(value, Mapping):
        if len(value) > LONG:
            return f"{len(value)} entries"
        return f"{{{', '.join(f'{key!r}: {brief(each)}' for key, each in value.items())}}}"
    if isinstance(value, tuple | list):
        if len(value) > LONG:
            return f"{len(value)} of {type(value[0]).__name__}"
        return f"{'(' * isinstance(value, tuple)}{', '.join(map(brief, value))}{')' * isinstance(value, tuple)}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Brief):
        return f"{type(value).__name__}(…)"
    if (chosen := getattr(value, "model_fields_set", None)) is not None:  # options: those that were set
        return f"{type(value).__name__}({', '.join(f'{name}={getattr(value, name)!r}' for name in sorted(chosen))})"
    return repr(value)
