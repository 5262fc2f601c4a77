"""What contracts were, and what is written now: one sentence for a plugin that was made for an earlier delt-host."""

from __future__ import annotations

from inspect import signature
from typing import Any

COMMITTEE = 'the option teachers, which names whom it asks, {teachers = ["resnet18", "convnet4"]} in a recipe'

FORMER: dict[str, dict[str, str]] = {
    "initializer": {"committee": COMMITTEE},
    "matcher": {"committee": COMMITTEE},
    "relabeler": {
        "committee": COMMITTEE,
        "relabel": "bind(problem), which gives a function from a Batch to its answers (B, C); the host stores and replays",
        "size_bytes": "label_bytes(classes), what one packed answer takes; the host counts answers",
        "while_training": "stores = False",
    },
    "evaluator": {"committee": COMMITTEE},
}
"""By the kind of a component: attributes that it had, and what takes their place."""

METHODS: dict[str, tuple[str, int, str, str]] = {
    "initializer": (
        "initialize",
        2,
        "classes",
        "initialize(self, problem, classes) -> Start, problem.count images of each of these classes, uint8 or normalised",
    ),
    "evaluator": (
        "evaluate",
        3,
        "taught",
        "evaluate(self, problem, distilled, taught), with taught.labels for labels",
    ),
    "dataset": (
        "load",
        1,
        "services",
        "load(self, services), with services.observer for observer, and services.store, if any, for what is kept",
    ),
}
"""By the kind of a component: a method, how many arguments it takes, what the last of them is called, and how it is written."""

NAMES = {
    "ImageSet": "an initializer returns a delt_host.Start now",
    "LabelledViews": "a batch of views with its answers is a delt_host.Batch now",
    "ViewBatch": "a batch of views is a delt_host.Batch now",
}
"""What `delt_host` gave once."""


def now_written(kind: str, thing: Any) -> str:
    """`defines relabel, which is gone: write …` for a class of an earlier contract; empty where there is nothing to say."""
    for name, now in FORMER.get(kind, {}).items():
        if hasattr(thing, name) or name in getattr(thing, "model_fields", {}):
            return f"defines {name}, which is gone: write {now}"
    if kind in METHODS:
        method, count, last, now = METHODS[kind]
        given = [name for name in signature(getattr(thing, method)).parameters if name != "self"]
        if len(given) < count or (last not in given and {"labels", "observer"} & set(given)):
            return f"has {method}({', '.join(['self', *given])}), which is written otherwise now: {now}"
    return ""
