"""What can be told of a module from its text: importing it could take long, since plugins import torch, and could fail."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from delt_host.basics.version import GROUP

OWN = "delt_host.plugins.own"
"""The plugin of the host's own things."""
KINDS = "delt_host.contracts.kinds", "KINDS"
"""The module and the dict of all kinds."""


def functions(module: str) -> dict[str, ast.FunctionDef]:
    """Its functions by name; none of a module that cannot be found or read."""
    return {node.name: node for node in _statements(module) if isinstance(node, ast.FunctionDef)}


def keys(module: str, name: str) -> list[str]:
    """The keys of a dict that a module names so."""
    given = [each for each in _statements(module) if isinstance(each, ast.Assign) and name in map(_name, each.targets)]
    found = [key for each in given if isinstance(each.value, ast.Dict) for key in each.value.keys]
    return [str(key.value) for key in found if isinstance(key, ast.Constant)]


def _name(target: ast.expr) -> str:
    return target.id if isinstance(target, ast.Name) else ""


def _statements(module: str) -> list[ast.stmt]:
    try:
        return ast.parse(_file(module).read_bytes()).body
    except (ImportError, OSError, SyntaxError, ValueError):
        return []


def provided(kind: str, blocked: Collection[str] = ()) -> Iterator[str]:
    """The names of a kind of thing, without those of blocked plugins: the keys of the dict that a hook
    returns, where it returns a plain one."""
    points = entry_points(group=GROUP)
    for module in (OWN, *(point.module for point in points if point.name not in blocked)):
        hook = functions(module).get(f"delt_{kind}s")
        given = getattr(hook.body[-1], "value", None) if hook else None
        for key in given.keys if isinstance(given, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value


def defined(file: Path) -> list[str]:
    """The classes, functions and values that a file defines, private ones left out; none of one that cannot be read."""
    try:
        tree = ast.parse(file.expanduser().read_bytes())
    except (OSError, SyntaxError, ValueError, RuntimeError):
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign):
            found += [each.id for each in node.targets if isinstance(each, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def first_sentence(function: ast.FunctionDef) -> str:
    """Of its docstring; empty where it has none."""
    text = " ".join((ast.get_docstring(function) or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".") + "." if text else ""


def _file(module: str) -> Path:
    """Where the module is written. Only its top package is looked up, since that imports nothing."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise FileNotFoundError(module)
    if not rest:
        return Path(spec.origin or "")
    places = [Path(folder, *rest) for folder in spec.submodule_search_locations or ()]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), Path())
