"""What the conformance kit asks of a method or a regime: that its choices exist and take their options."""

from __future__ import annotations

from typing import Any

from delt_host import Choice, Method, Problem, Regime
from delt_host.workshop import build, load_registry


def results(_value: Method | Regime, _problem: Problem) -> dict[str, Any]:
    return {}


def examine(value: Method | Regime, _problem: Problem) -> None:
    registry = load_registry()
    for kind in type(value).model_fields:
        choice = getattr(value, kind)
        if isinstance(choice, Choice):
            build(registry.get(kind, choice.name), choice.options, f"{kind} {choice.name}", registry)
    if isinstance(value, Method):
        _check_datasets(value, registry)


def _check_datasets(method: Method, registry: Any) -> None:
    for dataset, settings in method.datasets.items():
        for option in settings:
            stage, dot, name = option.partition(".")
            choice = getattr(method, stage, None)
            if not dot or not isinstance(choice, Choice):
                continue
            replaced = str(settings.get(stage, choice.name))
            known = registry.get(stage, replaced).model_fields if replaced != "none" else {}
            assert name in known, f"Method: on {dataset} it sets {option}, which {stage} {replaced} has not"
