"""What a component is to the store: its class, its options and its source."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
from typing import Any

from delt_host.component import Component
from delt_host.components import CONTRACTS


def identity(component: Component) -> dict[str, Any]:
    """Class, options, and digests of the source of its module and its bases': JSON-able, a part of store keys.

    With the source in the key, someone who edits a matcher never sees the results of the one before.
    """
    cls = type(component)
    bases = [
        base for base in cls.__mro__ if issubclass(base, Component) and base not in (Component, *CONTRACTS.values())
    ]
    return {
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "options": component.model_dump(mode="json"),
        "source": [_module_digest(module) for module in dict.fromkeys(base.__module__ for base in bases)],
    }


@functools.cache
def _module_digest(module: str) -> str:
    try:
        return hashlib.sha256(inspect.getsource(sys.modules[module]).encode()).hexdigest()[:16]
    except (OSError, TypeError, KeyError):
        return "unknown"
