"""Options as people write them: `STAGE.OPTION=VALUE` parsed, validated, and refused in one sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from delt_host.basics.errors import InputError, near
from delt_host.basics.settings import named_table, shown

Model = TypeVar("Model", bound=BaseModel)


class Lookup(Protocol):
    """Where components are found by name."""

    def kind_of(self, option: Any) -> str | None: ...
    def names(self, kind: str) -> list[str]: ...
    def get(self, kind: str, name: str) -> Any: ...


def parse_value(text: str) -> Any:
    """Lists and tables as JSON, everything else as text, which the option's own type then reads."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise InputError(f"{shown(text)} is not valid JSON") from None
    return text


def parse_assignment(text: str) -> tuple[str, Any]:
    """``scheduler.iterations=1000`` as (``scheduler.iterations``, ``1000``)."""
    key, equals, value = text.partition("=")
    stage, dot, option = key.strip().partition(".")
    if not (equals and dot and stage and option):
        raise InputError(f"{text!r} is not of the form STAGE.OPTION=VALUE, e.g. scheduler.iterations=1000")
    return f"{stage}.{option}", parse_value(value.strip())


def build(settings: type[Model], options: Mapping[str, Any], where: str, registry: Lookup | None = None) -> Model:
    """The settings with these options; InputError naming the option, the value and what would be right.

    `where` ends in a colon where its options are not written after a dot. With a registry, options that are components may be
    given by name, or as a table of the name and their options.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"{where.removesuffix(':')} must be a table of options, not {shown(options)}")
    if registry is not None:
        options = {**options, **_components(settings, options, where, registry)}
    try:
        return settings(**options)
    except ValidationError as error:
        raise InputError(first_problem(error, where, settings)) from None


def _components(
    settings: type[BaseModel], options: Mapping[str, Any], where: str, registry: Lookup
) -> dict[str, BaseModel]:
    found: dict[str, BaseModel] = {}
    for option, info in settings.model_fields.items():
        kind, given = registry.kind_of(info.annotation), options.get(option)
        if kind is None or not isinstance(given, str | Mapping):
            continue
        name, more = named_table(given, f"{where}.{option}", known=registry.names(kind))
        cls = registry.get(kind, name)
        told = {"name": name} if "name" in cls.model_fields else {}
        found[option] = build(cls, {**more, **told}, f"{where}.{option}", registry)
    return found


def first_problem(error: ValidationError, said: str, settings: type[BaseModel]) -> str:
    """The first thing that pydantic found wrong, as one sentence in the words of the command line."""
    where = said.removesuffix(":")
    problem = error.errors(include_url=False)[0]
    option = ".".join(str(part) for part in problem["loc"] if not _is_type(part))
    if problem["type"] == "extra_forbidden":
        known = list(settings.model_fields)
        return f"{where} has no option {option!r}{near(option, known)} (options: {', '.join(known) or 'none'})"
    if not option:
        return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
    place = f"{said} {option}" if said.endswith(":") else f"{said}.{option}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if problem["type"] == "missing":
        return f"{place} must be given"
    if problem["type"].endswith("_error") and problem["type"] != "literal_error":
        return f"{place}: {message}"
    return f"{place} must be {message}, not {shown(problem['input'])}"


def _is_type(part: int | str) -> bool:
    """Whether it is no place but one of the types that would have been right there."""
    return isinstance(part, str) and (part in ("int", "str", "float", "bool") or "[" in part or "(" in part)
