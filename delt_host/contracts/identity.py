"""What a component is to the store: its class, its options and its code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from delt_host.basics.file_words import plain, plain_module
from delt_host.contracts.component import Component
from delt_host.networks.build import Builder
from delt_host.store.code_identity import code_of
from delt_host.store.entry import digest


def identity(component: Component) -> dict[str, Any]:
    """Class, options, and a digest of the code of both: JSON-able, a part of store keys. Components among the options count by
    theirs too.

    With the code in the key, someone who edits a matcher never sees the results of the one before.
    """
    cls = type(component)
    return {
        "class": f"{plain_module(cls.__module__)}.{cls.__qualname__}",
        "options": plain(component.model_dump(mode="json")),
        "code": code_of(cls, *_classes(component.parts), captured=True),
    }


def _classes(parts: Mapping[str, Component]) -> list[type]:
    return [cls for part in parts.values() for cls in (type(part), *_classes(part.parts))]


def network_identity(name: str, models: Mapping[str, Builder]) -> str:
    """A network by its name and the code of its builder; one of torchvision or timm by its name.

    Their versions are in the code of whatever builds networks.
    """
    return " ".join([plain(name), *_built_by(models.get(name))])


def _built_by(builder: Any) -> list[str]:
    if builder is None:
        return []
    if isinstance(builder, partial):
        given = [*enumerate(builder.args), *sorted(builder.keywords.items())]
        return [*_built_by(builder.func), *(f"{name}={part}" for name, value in given for part in _given(value))]
    return [code_of(builder, captured=True)]


def _given(value: Any) -> list[str]:
    if isinstance(value, nn.Module):  # what makes others that are like it
        shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in value.state_dict().items()]
        kinds = dict.fromkeys(type(each) for each in value.modules())
        return [f"{code_of(*kinds)} {digest([repr(value), shapes])}"]
    return _built_by(value) if callable(value) else [repr(value).partition(" at 0x")[0]]
