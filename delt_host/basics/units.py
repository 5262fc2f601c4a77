"""Figures with their units, as a person reads them."""

from __future__ import annotations

import math


def decimals(unit: str) -> int:
    """Figures behind the point: one where there is a unit, three for plain numbers."""
    return 1 if unit else 3


def size(count: float) -> str:
    """Bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def duration(seconds: float | None) -> str:
    """`0 s`, `4.2 s`, `3 min 20 s`, `2 h 5 min`; a dash for None and NaN, a time that nobody took."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds else "0 s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
