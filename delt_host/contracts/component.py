"""What every component is: a frozen set of options.

Its fields are the options: they give the command line (``--set matcher.weight=0.5``), the recipe file, the docs and the store
key. Options hold no tensors; what runs is made from a `Problem`.
"""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar

from pydantic import field_validator

from delt_host.basics.settings import Settings


class Component(Settings, ABC):
    """A named, validated set of options. Unknown options and wrong types are refused with the field's name."""

    source: ClassVar[str] = ""
    """Paper, section, equation or table the component comes from."""

    @property
    def parts(self) -> dict[str, Component]:
        """The components among its options, by option."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in options.items() if isinstance(value, Component)}


class Asking(Component):
    """A component that may ask teachers. Its results depend on those that it is shown and on no others."""

    teachers: tuple[str, ...] = ()
    """The teachers that it is shown, by name and in this order; none: the run's first."""

    @field_validator("teachers", mode="before")
    @classmethod
    def _one_is_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("teachers")
    @classmethod
    def _each_once(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(given)) < len(given) or "" in given:
            raise ValueError(f"each teacher is named once, not {', '.join(map(repr, given))}")
        return given
