"""Settings whose numbers are numbers: what components, engines and the tables of a recipe are validated as."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from delt_host.basics.errors import InputError

LARGEST = 2**31 - 1
"""Of whole numbers: what can be counted to."""


class Numbers(BaseModel):
    """A table in which true and false are no numbers."""

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, given: Any, info: ValidationInfo) -> Any:
        kinds = set(_kinds(cls.model_fields[str(info.field_name)].annotation))
        if kinds & {int, float} and not kinds & {bool, Any}:
            for each in _leaves(given):
                if isinstance(each, bool):
                    raise ValueError(f"it must be a number, not {str(each).lower()}")
        return given


class Settings(Numbers):
    """Named settings, unknown ones refused. Numbers are finite, whole ones `LARGEST` at most, and ``true`` is none."""

    # Docstrings under the fields are their descriptions: for `delt-host show`, the docs and the JSON schema.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _can_be_counted_to(cls, value: Any) -> Any:
        for each in _leaves(value):
            if type(each) is int and abs(each) > LARGEST:
                raise ValueError(f"it must be {LARGEST:,} at most, not {shown(each)}")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """All types that an annotation names."""
    yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def _leaves(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    yield value
    for each in inner:
        yield from _leaves(each)


def named_table(given: Any, where: str, default: str = "", known: Iterable[str] = ()) -> tuple[str, dict[str, Any]]:
    """What a recipe says of a component: its name, or a table of the name and its options. InputError for anything else, with
    the names that are known."""
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or not isinstance(name := table.get("name", default), str) or not name:
        names = f" (known: {', '.join(known)})" if known else ""
        raise InputError(f"{where} must be a name, or a table with a name{names} and its options, not {shown(given)}")
    return name, {option: value for option, value in table.items() if option != "name"}


def word(given: Any, where: str) -> str:
    """A name or path, as a recipe gives it. InputError for anything but text."""
    if not isinstance(given, str) or "\0" in given:
        raise InputError(f"{where} must be a name, not {shown(given)}")
    return given


def shown(value: Any) -> str:
    """A value that somebody gave, for a sentence: short, on one line."""
    try:
        return _short.repr(value)
    except ValueError:  # of more digits than Python writes
        return f"a {type(value).__name__} too long to be shown"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlist = _short.maxdict = _short.maxtuple = 4
_short.maxlevel = 3
