"""What differs between settings that are compared: nested options side by side, without those that agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "–"


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Each option that has several values, by its dotted name, and what it is in each of the settings.

    That some lack an option is no difference by itself: it comes with another component, whose name differs, or with none.
    """
    flat = [dict(flatten(each)) for each in settings]
    names = dict.fromkeys(name for each in flat for name in each)
    found = {name: [each.get(name, ABSENT) for each in flat] for name in names}
    return {name: values for name, values in found.items() if len({*values} - _overlooked(name)) > 1}


def _overlooked(option: str) -> set[str]:
    return set() if option.endswith(".name") else {ABSENT}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Options as dotted names and what would be written after ``--set NAME=``."""
    found = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found += flatten(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            found.append((f"{prefix}{name}", text or '""'))
    return found
