"""What contracts were, and what is written now: one sentence for a plugin that was made for an earlier delt-host."""

from __future__ import annotations

from typing import Any

FORMER: dict[str, dict[str, str]] = {
    "relabeler": {
        "relabel": "bind(problem), which gives a function from a Batch to its answers (B, C); the host stores and replays",
        "size_bytes": "label_bytes(classes), what one packed answer takes; the host counts answers",
        "while_training": "stores = False",
    },
}
"""By the kind of a component: attributes that it had, and what takes their place."""

NAMES = {
    "LabelledViews": "a batch of views with its answers is a delt_host.Batch now",
    "ViewBatch": "a batch of views is a delt_host.Batch now",
}
"""What `delt_host` gave once."""


def now_written(kind: str, thing: Any) -> str:
    """`defines relabel, which is gone: write …` for a class of an earlier contract; empty where there is nothing to say."""
    for name, now in FORMER.get(kind, {}).items():
        if hasattr(thing, name) or name in getattr(thing, "model_fields", {}):
            return f"defines {name}, which is gone: write {now}"
    return ""
