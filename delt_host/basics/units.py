"""Figures with their units, as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable


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


def spans(numbers: Iterable[int], most: int = 6) -> str:
    """`0, 1, 2, 7`; of more than `most`, those that follow each other as `0 to 11`."""
    listed, found = list(numbers), list[list[int]]()
    for number in listed:
        if len(listed) > most and found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(f"{each[0]} to {each[-1]}" if len(each) > 2 else ", ".join(map(str, each)) for each in found)


def roughly(seconds: float) -> str:
    """A time to wait, no finer than anybody can know: `a few seconds`, `about 40 s`, `about 4 min`, `about 2 h 10 min`."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {10 * round(seconds / 10)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, rest = divmod(10 * round(seconds / 600), 60)
    return f"about {hours} h" + (f" {rest} min" if rest else "")
