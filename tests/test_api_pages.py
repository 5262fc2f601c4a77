"""The pages of public names are complete: what is there is told, tensors by their shapes, errors by their names.

Read from the sources, as the pages are: by griffe where the site is built, here by ast.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import ROOT
from delt_host.contracts.component import Component
from delt_host.contracts.kinds import KINDS
from delt_host.plugins.registry import load_registry

SHAPE = r"\((?:[^()]*,[^()]*|)\)"
"""``(N, 3, S, S)``, ``(N,)``, ``()``."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Told:
    """A public name, or a public part of one, with its docstring and that of the class around it."""

    name: str
    node: ast.AST
    text: str
    around: str = ""


def stub(public: str) -> Iterator[tuple[str, str]]:
    path = ROOT.joinpath(*public.split("."))
    file = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield from ((each.name, str(node.module)) for each in node.names)


def source(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def below(body: list[ast.stmt], place: int) -> str:
    """The string below an assignment."""
    after = body[place + 1] if place + 1 < len(body) else None
    told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    return str(after.value.value) if told else ""  # type: ignore[union-attr]


def of_body(body: list[ast.stmt], wanted: str | None, around: str, prefix: str) -> Iterator[Told]:
    """What a body defines: `wanted`, or whatever is public."""
    for place, node in enumerate(body):
        if isinstance(node, Function) and any(ast.unparse(each) == "overload" for each in node.decorator_list):
            continue  # what follows tells of it
        if isinstance(node, ast.ClassDef | Function):
            names, text = [node.name], ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names, text = [each.id for each in targets if isinstance(each, ast.Name)], below(body, place)
        else:
            continue
        for name in names:
            if name == wanted or (wanted is None and not name.startswith("_")):
                yield Told(f"{prefix}{name}", node, text, around)
                if isinstance(node, ast.ClassDef):
                    yield from of_body(node.body, None, text, f"{prefix}{name}.")


def public(module: str) -> Iterator[Told]:
    for name, home in stub(module):
        file = source(home)
        assert file, f"{module} takes {name} from {home}, which is no module"
        found = list(of_body(ast.parse(file.read_text(encoding="utf-8")).body, name, "", f"{home}."))
        assert found or source(f"{home}.{name}"), f"{home} has no {name}"
        yield from found


ALL = [told for module in ("delt_host", "delt_host.toolbox") for told in public(module)]
FUNCTIONS = [told for told in ALL if isinstance(told.node, Function)]


def tensors(function: Function) -> Iterator[str]:
    """Its parameters that are tensors, or may be."""
    arguments = function.args
    for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        if each.annotation is not None and "Tensor" in ast.unparse(each.annotation).split(" | "):
            yield each.arg


MADE_BY = {"unknown": "InputError"}
"""Functions that make an error."""


def raised(function: Function) -> Iterator[str]:
    """What leaves it: what is raised where it is caught at once does not."""
    caught = [part for node in ast.walk(function) if isinstance(node, ast.Try) and node.handlers for part in node.body]
    kept = {id(node) for part in caught for node in ast.walk(part)}
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and node.exc is not None and id(node) not in kept:
            error = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            yield MADE_BY.get(error, error)


def test_every_public_name_and_part_has_a_docstring() -> None:
    told = {each.name.rpartition(".")[2] for each in ALL if each.around and each.text}
    silent = [
        each.name
        for each in ALL
        if not each.text
        and not each.name.endswith(".model_config")
        and not (isinstance(each.node, Function) and each.name.rpartition(".")[2] in told)  # what its base says of it
    ]
    assert silent == []


def test_every_tensor_is_told_of_with_its_shape() -> None:
    missing = []
    for each in FUNCTIONS:
        for name in tensors(each.node):
            near = rf"\b{name}\b[^.;:]*?{SHAPE}|{SHAPE}[^.;:]*\b{name}\b"
            if each.text and not re.search(near, each.text):
                missing.append(f"{each.name}({name})")
        returns = ast.unparse(each.node.returns) if each.node.returns else ""
        if each.text and re.match(r"(tuple\[)?Tensor\b", returns) and not re.search(SHAPE, each.text):
            missing.append(f"{each.name} -> {returns}")
    assert missing == []


def test_what_is_raised_is_said() -> None:
    unsaid = [
        f"{each.name}: {error}"
        for each in FUNCTIONS
        for error in raised(each.node)
        if error != "NotImplementedError" and error not in each.text + each.around
    ]
    assert unsaid == []


COMPONENTS = [
    registry.get(kind, name)
    for registry in [load_registry()]
    for kind, known in KINDS.items()
    if known.base is not None and issubclass(known.base, Component)
    for name in registry.names(kind)
]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_every_option_of_every_component_has_a_docstring(component: type[Component]) -> None:
    options = component.model_fields.items()
    assert [name for name, info in options if not info.description and name != "name"] == []
