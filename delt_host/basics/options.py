"""Options as people write them: `STAGE.OPTION=VALUE` parsed, validated, and refused in one sentence."""

from __future__ import annotations

import json
import re
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
    def called(self, kind: str, name: str) -> str: ...


NETWORKS = ("model", "models", "network", "teachers")
"""The options that name networks, or several: one in a file goes by the file's whole path, as a component does."""


WORDS = re.compile(r"\[\s*([^\s,\"'\[\]{}]+\s*(,\s*[^\s,\"'\[\]{}]+\s*)*)\]")
"""``[ranked,noise]``: a list whose words are not in quotes, which shells take away."""


def parse_value(text: str) -> Any:
    """Lists and tables as JSON, everything else as text, which the option's own type then reads.

    >>> parse_value("500"), parse_value("[500, 1000]"), parse_value("[ranked,noise]")
    ('500', [500, 1000], ['ranked', 'noise'])
    """
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            if words := WORDS.fullmatch(text):
                return [word.strip() for word in words[1].split(",")]
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
    given by name, or as a table of the name and their options; `networks.size` is the option of one, whatever it is given as.
    """
    if not isinstance(options, Mapping):
        raise InputError(f"{where.removesuffix(':')} must be a table of options, not {shown(options)}")
    if registry is not None:
        components = _components(settings, options, where, registry)
        whole = {option: value for option, value in options.items() if option.partition(".")[0] not in components}
        options = {**whole, **_networks(settings, options, registry), **components}
    try:
        return settings(**options)
    except ValidationError as error:
        raise InputError(first_problem(error, where, settings)) from None


def _networks(settings: type[BaseModel], options: Mapping[str, Any], registry: Lookup) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in NETWORKS:
        given = options.get(option)
        if option not in settings.model_fields:
            continue
        if isinstance(given, str):
            found[option] = registry.called("model", given)
        elif isinstance(given, list | tuple):
            found[option] = [registry.called("model", each) if isinstance(each, str) else each for each in given]
    return found


def takes(settings: type[BaseModel], option: str, value: Any, registry: Lookup) -> bool:
    """Whether an option may have this value, whatever the others have."""
    try:
        settings(**{option: value, **_components(settings, {option: value}, option, registry)})
    except InputError:
        return False
    except ValidationError as error:
        return all(problem["loc"][:1] != (option,) for problem in error.errors(include_url=False))
    return True


def _components(
    settings: type[BaseModel], options: Mapping[str, Any], where: str, registry: Lookup
) -> dict[str, BaseModel]:
    found: dict[str, BaseModel] = {}
    for option, info in settings.model_fields.items():
        if (kind := registry.kind_of(info.annotation)) is None:
            continue
        place, inner = f"{where}.{option}", f"{option}."
        own = {key.removeprefix(inner): value for key, value in options.items() if key.startswith(inner)}
        given = options.get(option, info.get_default(call_default_factory=True) if own else None)
        if isinstance(given, BaseModel) and own:
            told = {name: getattr(given, name) for name in given.model_fields_set}
            found[option] = build(type(given), {**told, **own}, place, registry)
        elif isinstance(given, str | Mapping):
            name, more = named_table(given, place, known=registry.names(kind))
            name, cls = registry.called(kind, name), registry.get(kind, name)
            named = {"name": name} if "name" in cls.model_fields else {}
            found[option] = build(cls, {**more, **own, **named}, place, registry)
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
