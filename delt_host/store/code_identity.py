"""Which code a result was made by: a digest that changes when the code does, and not with comments.

Looked at are the module that defines a class or function, those of its base classes, and all that these import, from one
module to the next, as far as delt_host and the distributions with plugins reach, and loose files. Each imported name is
followed to the module that defines it, so that ``from delt_host import Matcher`` counts what a matcher is and not the whole
host. Of other libraries the version counts, major and minor. What is defined in a notebook has no file: see `live_code.py`.

Not seen: modules whose names are put together while running, files that a component reads, environment variables.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import types
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

from delt_host.basics.file_words import plain_module
from delt_host.basics.version import GROUP
from delt_host.store import loose_files
from delt_host.store.entry import UNKEPT, digest
from delt_host.store.live_code import all_codes, compiled, made_inside, nobodys

PUBLIC = ("delt_host", "delt_host.toolbox", "delt_host.workshop")
"""Modules that only pass names on, each with where it comes from in `HOMES`."""
COMPUTING = ("delt_host.toolbox",)
"""Those whose names compute: imported as a whole, all of them count."""
ABSENT = "absent: "
SERVICES = frozenset(
    f"delt_host.{name}"
    for name in (
        "basics.errors",
        "basics.lazy",
        "basics.version",
        "contracts.engine",
        "contracts.hookspecs",
        "contracts.identity",
        "contracts.observer",
        "contracts.prepared",
        "contracts.results",
        "contracts.services",
    )
)
"""What does not change what components compute, with the store itself: names, sentences, keys, who is told."""
_UNKNOWN = f"{UNKEPT}{os.urandom(8).hex()}"
"""In place of a digest that cannot be had: no process started elsewhere has this one, so that nothing is found by it."""


def code_of(*things: Any, captured: bool = False) -> str:
    """The digest of the code of classes, functions and modules together; one that holds in no other process where a part of it
    cannot be looked at. With `captured`, also of what a user's function had at hand that made one of them."""
    modules, libraries = set[str](), set[str]()

    def follow(name: str | None) -> bool:
        if not name or (_is_ours(name) and not _file(name)):
            return False
        _follow(name, modules, libraries)
        return True

    try:
        live = []
        for part in (part for thing in things for part in _with_bases(_unwrapped(thing))):
            there = (name := _module(part)) != "__main__" and follow(name)
            if not there or (captured and made_inside(part) and _theirs(name)):
                live.append(compiled(part, follow, theirs=_theirs if captured else nobodys))
        found = {plain_module(name): _source(name).digest for name in modules}
    except (LookupError, RecursionError) as error:
        return f"{_UNKNOWN} {error.args[0]}"
    versions = {name: _version(name) for name in libraries}
    return digest([found, live, versions, sys.version_info[:2]])[:24]


def modules_of(*things: Any) -> frozenset[str]:
    """The modules whose code counts for these. It is read now: later edits are not what runs."""
    found = set[str]()
    for part in (part for thing in things for part in _with_bases(_unwrapped(thing))):
        with suppress(LookupError, RecursionError):
            modules = set[str]()
            try:
                _follow(_module(part), modules, set())
            finally:  # what one part could not follow is looked at again for the next
                found |= modules
    return frozenset(found)


def why_unknown(code: str) -> str:
    """What could not be looked at, where that is so."""
    return code.partition(" ")[2] if code.startswith(UNKEPT) else ""


def _unwrapped(thing: Any) -> Any:
    while isinstance(thing, functools.partial):
        thing = thing.func
    return inspect.unwrap(thing) if inspect.isfunction(thing) else thing


def _module(thing: Any) -> str:
    if isinstance(thing, str):
        return thing
    return str(thing.__name__ if isinstance(thing, types.ModuleType) else thing.__module__)


def _with_bases(thing: Any) -> list[Any]:
    if not isinstance(thing, type):
        return [thing]
    return [base for base in thing.__mro__ if _is_ours(base.__module__)] or [thing]


def _follow(name: str, modules: set[str], libraries: set[str]) -> None:
    """Add a module and all that it imports."""
    todo = [name]
    while todo:
        name = todo.pop()
        if name in COMPUTING and name not in modules:  # used as a module: any of its names may be meant
            modules.add(name)
            todo += set(importlib.import_module(name).HOMES.values())
            continue
        if name in modules or name in (*PUBLIC, *SERVICES) or name.startswith("delt_host.store."):
            continue
        if not _is_ours(name):
            libraries |= set(loose_files.distributions().get(name.partition(".")[0], ()))
            continue
        if not _file(name) and not _there(name):
            libraries.add(f"{ABSENT}{name}")
            continue
        modules.add(name)
        todo += _source(name).imports


@functools.cache
def _with_plugins() -> frozenset[str]:
    return frozenset(point.dist.name for point in entry_points(group=GROUP) if point.dist)


def _is_ours(module: str) -> bool:
    """Whether a module's code is looked at: the host's, a plugin's distribution's, or of no distribution."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    there = loose_files.distributions().get(top)
    return top == "delt_host" or not there or not _with_plugins().isdisjoint(there)


def _theirs(module: str) -> bool:
    """Whether it is a user's: of what a function in it makes, its file does not tell what that function was given."""
    return _is_ours(module) and not module.startswith(("delt_host", "delt_plugins"))


@functools.cache
def _version(distribution: str) -> str:
    if distribution.startswith(ABSENT):
        return ""
    return ".".join(version(distribution).split(".")[:2])


def _spec(module: str) -> Any:
    there = sys.modules.get(module)
    try:
        return there.__spec__ if there is not None else importlib.util.find_spec(module)
    except Exception:  # a package around it may fail in any way
        return None


def _there(module: str) -> bool:
    """Whether a module could be imported: a plugin may do without."""
    return module in sys.modules or _spec(module) is not None


def _file(module: str) -> str | None:
    """The source file of a module, imported already or not."""
    origin = getattr(_spec(module), "origin", None)
    return origin if origin and origin.endswith(".py") else None


@dataclass(frozen=True)
class _Source:
    """What is to know of a module's file."""

    digest: str
    imports: tuple[str, ...]
    """The modules that define what it imports, anywhere but under TYPE_CHECKING, and its package."""


_sources: dict[str, tuple[Any, _Source]] = {}


def _source(module: str) -> _Source:
    """Read once for each time that the module was imported. LookupError where it cannot be, or is not what was imported."""
    there = sys.modules.get(module)
    stamp = there.__spec__ if there is not None else None  # another one after each reload
    if module in _sources and _sources[module][0] is stamp is not None:
        return _sources[module][1]
    file = _file(module)
    try:
        tree = ast.parse(Path(file or "").read_bytes())
    except (OSError, SyntaxError, ValueError):
        raise LookupError(f"the source of {module}") from None
    if there is not None and not _as_imported(there, file, tree):
        raise LookupError(f"{module} was edited after it was imported")
    finder = _Imports(module, file)
    finder.visit(tree)
    parent = module.rpartition(".")[0]
    bare = module.startswith("delt_host.") or loose_files.is_package(parent)  # packages that hold no code of their own
    package = [parent] if parent and not bare else []
    text = ast.dump(_Undocumented().visit(tree))
    found = _Source(hashlib.sha256(text.encode()).hexdigest()[:24], tuple(dict.fromkeys([*finder.found, *package])))
    _sources[module] = stamp, found
    return found


class _Undocumented(ast.NodeTransformer):
    """Without strings that stand alone, which are documentation."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _as_imported(module: types.ModuleType, file: str | None, tree: ast.Module) -> bool:
    """Whether the functions in memory are those of the file: an edit after the import has not reached this process."""
    now = set(all_codes(compile(tree, file or "", "exec", dont_inherit=True)))
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    parts = [*own, *(part for value in own if isinstance(value, type) for part in vars(value).values())]
    functions = [part for part in (getattr(part, "__func__", part) for part in parts) if inspect.isfunction(part)]
    return all(part.__code__ in now for part in functions if part.__code__.co_filename == file)


class _Imports(ast.NodeVisitor):
    """Collects the modules that define what a file imports."""

    def __init__(self, module: str, file: str | None) -> None:
        self.module, self.package = (
            module,
            module if (file or "").endswith("__init__.py") else module.rpartition(".")[0],
        )
        self.found: list[str] = []
        self.public: dict[str, str] = {}
        """How the file calls those of `PUBLIC` that it imports as a whole."""

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)
        for statement in node.orelse if ast.unparse(node.test).endswith("TYPE_CHECKING") else ():
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.found.append(loose_files.home(self.module, alias.name))
            if alias.name in PUBLIC and alias.asname:
                self.public[alias.asname] = alias.name
            elif alias.name.partition(".")[0] == PUBLIC[0]:
                self.public |= {each: each for each in PUBLIC}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        name = "." * node.level + (node.module or "")
        try:
            module = (
                importlib.util.resolve_name(name, self.package) if node.level else loose_files.home(self.module, name)
            )
        except ImportError:  # above the top: whoever runs this, it is no module's import
            return
        for alias in node.names:
            self.found.append(home := _home(module, alias.name))
            if home in PUBLIC:
                self.public[alias.asname or alias.name] = home

    def visit_Attribute(self, node: ast.Attribute) -> None:
        whole = ast.unparse(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else ""
        if whole in self.public:  # delt_host.Matcher
            self.found.append(_home(self.public[whole], node.attr))
        self.generic_visit(node)


def _home(module: str, name: str) -> str:
    """The module that defines what is imported from `module` under this name."""
    if module in PUBLIC:
        module = importlib.import_module(module).HOMES.get(name, module)
    if not _is_ours(module):
        return module
    if _file(inner := f"{module}.{name}"):
        return inner
    try:
        thing = getattr(importlib.import_module(module), name)
    except Exception:  # an import that is never run, or fails when it is
        return module
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    home = getattr(thing, "__module__", None) if isinstance(thing, type) or inspect.isfunction(thing) else None
    defines = home is not None and getattr(sys.modules.get(home), name, None) is thing
    return home if defines and home and _file(home) else module
