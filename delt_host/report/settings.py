"""What differs between settings that are compared: nested options side by side, without those that all share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "–"


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Each option that is not the same everywhere, by its dotted name, and what it is in each of the settings."""
    flat = [dict(flatten(each)) for each in settings]
    names = dict.fromkeys(name for each in flat for name in each)
    found = {name: [each.get(name, ABSENT) for each in flat] for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


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
