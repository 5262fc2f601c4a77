"""What is defined in a notebook has no file to read: here its compiled functions count, with all that they name."""

from __future__ import annotations

import enum
import functools
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), range, Path, enum.Enum)

GIVEN = ("_abc_impl", "model_post_init", "model_fields", "model_computed_fields")
"""Attributes of every pydantic class, the last two before pydantic 2.10; fields are looked at one by one."""

Follow = Callable[[str | None], bool]
"""Takes the code of a module into account; whether there is a file to read or a library whose version counts."""


def nobodys(_module: str) -> bool:
    return False


def compiled(
    thing: Any, follow: Follow, seen: dict[int, Any] | None = None, theirs: Callable[[str], bool] = nobodys
) -> Any:
    """What a value is made of, JSON-able: of functions the instructions, constants, defaults and globals, of classes their
    attributes, of data the value. LookupError, with its type, for what is neither.
    """
    if isinstance(thing, PLAIN):
        return [type(thing).__name__, repr(thing)]
    seen = {} if seen is None else seen
    if id(thing) in seen:
        return getattr(thing, "__qualname__", type(thing).__name__)
    seen[id(thing)] = thing  # held, so that no other gets its place in memory
    again = functools.partial(compiled, follow=follow, seen=seen, theirs=theirs)
    if isinstance(thing, list | tuple):
        return list(map(again, thing))
    if isinstance(thing, set | frozenset):
        return sorted(map(repr, thing))
    if isinstance(thing, dict):
        return [[again(key), again(value)] for key, value in thing.items()]
    if isinstance(thing, types.ModuleType):
        follow(thing.__name__)
        return thing.__name__
    if isinstance(thing, functools.partial):
        return [again(thing.func), again(thing.args), again(thing.keywords)]
    if isinstance(thing, staticmethod | classmethod):
        return again(thing.__func__)
    if isinstance(thing, property):
        return list(map(again, (thing.fget, thing.fset)))
    if isinstance(thing, BaseModel):  # a component as another's default
        return [again(type(thing)), thing.model_dump(mode="json")]
    home = getattr(thing, "__module__", None)
    if isinstance(thing, type) or inspect.isfunction(thing):
        if home != "__main__" and follow(home) and not (made_inside(thing) and theirs(str(home))):
            return f"{home}.{thing.__qualname__}"
        return _class(thing, again) if isinstance(thing, type) else _function(thing, again)
    if hasattr(thing, "__wrapped__"):  # functools.cache and its like
        return again(thing.__wrapped__)
    if inspect.isbuiltin(thing) or (type(thing).__module__ == "torch" and type(thing).__name__ in ("dtype", "device")):
        return repr(thing).partition(" at 0x")[0]
    raise LookupError(f"a global of type {type(thing).__name__}")


def made_inside(thing: Any) -> bool:
    """Whether it is a class or function that a function made: what that was given is a part of it."""
    return "<locals>" in getattr(thing, "__qualname__", "")


def _class(cls: type, again: Callable[[Any], Any]) -> Any:
    fields = getattr(cls, "model_fields", {})
    options = [
        [name, repr(info.annotation), repr(info.metadata), again(info.default_factory), again(_default(info))]
        for name, info in fields.items()
    ]
    own = {name: value for name, value in vars(cls).items() if name not in fields and not _made_by_python(name, value)}
    return [
        cls.__qualname__,
        options,
        [[name, again(value)] for name, value in own.items()],
        list(map(again, cls.__bases__)),
    ]


def _default(info: Any) -> Any:
    return "required" if info.is_required() else info.default


def _made_by_python(name: str, value: Any) -> bool:
    """Names that the interpreter and pydantic give to every class; its own special methods are functions."""
    return (name.startswith("__") and not inspect.isfunction(value)) or name in GIVEN


def _function(function: types.FunctionType, again: Callable[[Any], Any]) -> Any:
    codes = list(all_codes(function.__code__))
    named = sorted({name for code in codes for name in code.co_names if name in function.__globals__})
    caught = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return [
        [[code.co_code.hex(), list(map(_constant, code.co_consts)), list(code.co_names)] for code in codes],
        again(function.__defaults__),
        again(function.__kwdefaults__),
        [[name, again(function.__globals__[name])] for name in named],
        [[name, again(_content(cell))] for name, cell in caught if name != "__class__"],
    ]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _constant(value: Any) -> Any:
    """Sets in the order of their texts: their own differs from process to process."""
    if isinstance(value, types.CodeType):
        return value.co_qualname
    return sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value)


def all_codes(code: types.CodeType) -> list[types.CodeType]:
    """A compiled piece of code and all within it."""
    return [code, *(inner for part in code.co_consts if isinstance(part, types.CodeType) for inner in all_codes(part))]
