"""What can be told of a module from its text: importing it could take long, since plugins import torch, and could fail."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path


def functions(module: str) -> dict[str, ast.FunctionDef]:
    """Its functions by name; none of a module that cannot be found or read."""
    try:
        tree = ast.parse(_file(module).read_bytes())
    except (ImportError, OSError, SyntaxError, ValueError):
        return {}
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


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
