"""What a row differs in from what its name stands for, as its label says it: `delt (scheduler.iterations=500)`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from delt_host.basics.file_words import short_name


def value_shown(value: Any) -> str:
    """A value as it is written after ``OPTION=``; of a component without options its name."""
    if isinstance(value, Mapping) and [*value] == ["name"]:
        value = value["name"]
    return short_name(value) if isinstance(value, str) else json.dumps(value).removesuffix(".0")


def labelled(name: str, varied: Mapping[str, Any]) -> str:
    """A row's label.

    >>> labelled("delt", {"initializer": "noise", "scheduler.iterations": 500})
    'delt (initializer=noise, scheduler.iterations=500)'
    """
    told = ", ".join(f"{option}={value_shown(value)}" for option, value in varied.items())
    return f"{name} ({told})" if varied else name
