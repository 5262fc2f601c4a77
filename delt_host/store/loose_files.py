"""Python files that belong to no package, each loaded as a module of its own with those beside it that it imports.

A file is loaded under a top-level package that nobody else has, ``delt_host_file_7.mine``, and with another one after each
edit: whoever holds what was there before keeps it whole. ``from helpers import x`` finds the file beside it, and each file
that is loaded so gets an ``__import__`` of its own for that: ``sys.path`` is left alone, and two files may have helpers of one
name. Texts are compiled as they are read, since a ``.pyc`` is told from its text by the second and the size alone.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.machinery
import importlib.util
import itertools
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from delt_host.basics import traces
from delt_host.basics.file_words import PREFIX

_count = itertools.count(1)
_latest: dict[Path, types.ModuleType] = {}


class _Package(types.ModuleType):
    """What a file and those beside it are loaded under."""

    def __init__(self, name: str, file: Path) -> None:
        super().__init__(name)
        self.__path__ = [str(file.parent)]
        self.file = file
        self.texts: dict[Path, bytes] = {}
        """The files as they were read."""

    @property
    def edited(self) -> bool:
        return any(_read(path) != text for path, text in self.texts.items())


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles what is there, and leaves no file beside it."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        text = self.get_data(path)
        package = sys.modules[fullname.partition(".")[0]]
        if isinstance(package, _Package):
            package.texts[Path(path)] = text
        code: types.CodeType = self.source_to_code(text, path)
        return code

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


class _Finder:
    """Finds what lies below the packages that files are loaded under, and nothing else."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, _target: Any = None) -> Any:
        if not name.startswith(PREFIX):
            return None
        found = (_beside(folder, name) for folder in path or ())
        return next((spec for spec in found if spec is not None and spec.loader is not None), None)


def load(path: Path, name: str = "") -> types.ModuleType:
    """The module of a file at an absolute path: as it is, or anew where it, or what it imports from beside it, was edited.

    `name` is that of its package in another process. Whatever the file raises, and OSError where it cannot be read.
    """
    there = _latest.get(path)
    if there is not None and not name and not package_of(there.__name__).edited:
        return there
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    package = _Package(name or f"{PREFIX}{next(_count)}", path)
    full = f"{package.__name__}.{path.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(full, path, loader=_Loader(full, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules |= {package.__name__: package, full: module}
    traces.plugins.add(package.__name__)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for each in [each for each in sys.modules if each.partition(".")[0] == package.__name__]:
            del sys.modules[each]
        raise
    _latest[path] = module
    return module


def package_of(module: str) -> _Package:
    """That a file's module is below."""
    package = sys.modules[module.partition(".")[0]]
    assert isinstance(package, _Package)
    return package


def place_of(module: str) -> tuple[Path, str] | None:
    """What `load` is to be given elsewhere, so that a module of a file, or of what lies beside it, is there by its name."""
    return (package_of(module).file, module.partition(".")[0]) if module.startswith(PREFIX) else None


def texts(modules: Iterable[str]) -> dict[Path, bytes]:
    """The files of those of these modules that are below such a package, as they were loaded, or are there now."""
    found: dict[Path, bytes] = {}
    for name in modules:
        if name.startswith(PREFIX) and (spec := importlib.util.find_spec(name)) is not None and spec.origin:
            path = Path(spec.origin)
            found[path] = package_of(name).texts.get(path) or path.read_bytes()
    return found


def home(module: str, name: str) -> str:
    """The full name of what a module imports as `name`: of a file, what lies beside it."""
    top = module.partition(".")[0]
    if not top.startswith(PREFIX) or name.startswith(PREFIX):
        return name
    return f"{top}.{name}" if _lies_beside(top, name.partition(".")[0]) else name


def is_package(name: str) -> bool:
    """Whether it is what files are loaded under: it has no code."""
    return isinstance(sys.modules.get(name), _Package)


@functools.cache
def distributions() -> dict[str, list[str]]:
    """The distributions that installed top-level modules come from."""
    return {name: sorted(set(found)) for name, found in packages_distributions().items()}


@functools.cache
def _lies_beside(package: str, top: str) -> bool:
    """Whether the files of a package mean what lies beside them. A folder that is installed from where it lies stays what it
    is: a second copy of delt-host's classes would be others."""
    if top in sys.stdlib_module_names or top in {"delt_host"} | traces.plugins:
        return False
    found = _beside(package_of(package).__path__[0], top)
    if found is None:
        return False
    try:
        elsewhere = importlib.util.find_spec(top)
    except ValueError:  # a module without a spec
        return found.loader is not None
    if found.loader is None:  # a folder without __init__.py, of data perhaps
        return elsewhere is None or elsewhere.loader is None
    return elsewhere is None or elsewhere.origin != found.origin or top not in distributions()


def _beside(folder: str, name: str) -> Any:
    kinds = importlib.machinery
    loaders = ((kinds.ExtensionFileLoader, kinds.EXTENSION_SUFFIXES), (_Loader, kinds.SOURCE_SUFFIXES))
    return kinds.FileFinder(folder, *loaders).find_spec(name)


def _import(
    name: str,
    given: Mapping[str, Any] | None = None,
    local: Mapping[str, Any] | None = None,
    fromlist: Sequence[str] = (),
    level: int = 0,
) -> Any:
    """``__import__`` for modules of files."""
    full = home(str((given or {}).get("__name__", "")), name) if level == 0 else name
    if full == name or fromlist:
        return builtins.__import__(full, given, local, fromlist, level)
    importlib.import_module(full)
    package, top, *_ = full.split(".")
    return sys.modules[f"{package}.{top}"]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
