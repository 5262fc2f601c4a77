"""Public names that are imported on first use (PEP 562), so that ``delt-host --help`` does not wait for torch.

The list of them is the stub beside a module, which type checkers read too: there is one list and no second.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str], dict[str, str]]:
    """`__getattr__`, `__dir__`, `__all__` and the module that each name is defined in, from the stub beside `file`."""
    tree = ast.parse(Path(file).with_suffix(".pyi").read_bytes())
    homes = {
        each.name: str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) for each in node.names
    }

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(homes[name]), name, None)
        if found is None:
            found = importlib.import_module(f"{homes[name]}.{name}")
        return found

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return find, listed, sorted(homes), homes
