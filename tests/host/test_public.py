"""The three lists of public names: what is in them is there, told once, explained and used, and plugins take nothing else."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT

PUBLIC = ("delt_host", "delt_host.toolbox", "delt_host.workshop")
HOMES: dict[str, dict[str, str]] = {module: importlib.import_module(module).HOMES for module in PUBLIC}
"""By public module, its names and where each is defined."""
OURS = sorted([*(ROOT / "delt_plugins").rglob("*.py"), *(ROOT / "delt_plugins/desk/templates").glob("*.py.txt")])
FILES = [*OURS, *sorted((ROOT / "examples").rglob("*.py"))]


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Each name of the host that a file imports, and from which module; a module as a whole as the name ``*``."""
    source = file.read_text(encoding="utf-8")
    if file.suffix == ".txt":  # a template: its names are given when it is filled in
        source = re.sub(r"\$(\w+)|\$\{(\w+)\}", r"\1\2", source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "delt_host":
            yield from ((str(node.module), each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "*") for each in node.names if each.name.partition(".")[0] == "delt_host")


@pytest.mark.parametrize("module", PUBLIC)
def test_every_listed_name_is_there_and_says_what_it_is(module: str) -> None:
    for name, home in HOMES[module].items():
        found = getattr(importlib.import_module(module), name)
        if inspect.isroutine(found) or (inspect.isclass(found) and found.__module__.startswith("delt_host")):
            assert found.__doc__, f"{home}.{name} has no docstring"


def test_no_name_is_in_two_lists() -> None:
    listed = [name for homes in HOMES.values() for name in homes]
    assert sorted({name for name in listed if listed.count(name) > 1}) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_plugins_import_listed_names_alone(file: Path) -> None:
    for module, name in imports(file):
        assert module in PUBLIC, f"{module} is the host's own"
        assert name in ("*", "__version__") or name in HOMES[module], f"{module} lists no {name}"


def test_what_no_plugin_of_ours_uses_is_not_in_the_workshop() -> None:
    used = {name for file in OURS for module, name in imports(file) if module == "delt_host.workshop"}
    assert sorted(set(HOMES["delt_host.workshop"]) - used) == []
