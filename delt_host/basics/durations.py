"""Times as a person says them, read and written: `2h`, `1h30m`, `90m`, `45s`, or seconds."""

from __future__ import annotations

import math
import re
from typing import Any

from delt_host.basics.errors import InputError
from delt_host.basics.settings import shown

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SAID = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _UNITS))


def seconds(given: Any, option: str) -> float:
    """What was said for an option, above 0. InputError for anything else."""
    text = str(given).replace(" ", "").lower()
    found = _SAID.fullmatch(text)
    try:
        parts = found.groups() if text and found else ()
        total = sum(float(part or 0) * unit for part, unit in zip(parts, _UNITS.values(), strict=False))
        total = total if parts else float(text)
    except ValueError:
        total = math.nan
    if not 0 < total < math.inf or isinstance(given, bool):
        raise InputError(f"{option} must be a time above 0 (2h, 1h30m, 90m, or seconds), not {shown(given)}")
    return total


def written(duration: float) -> str:
    """The same back: `1h30m`; seconds alone where they are not whole."""
    if duration != round(duration):
        return repr(duration)
    left, parts = round(duration), []
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        parts += [f"{count}{unit}"] * bool(count)
    return "".join(parts)
