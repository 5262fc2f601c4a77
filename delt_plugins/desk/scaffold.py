"""A new plugin as an installable package whose tests pass at once: what ``delt-host plugins new`` writes."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from delt_host import InputError
from delt_host.workshop import files, unknown, writing_to

KINDS = ("initializer", "scheduler", "matcher", "relabeler", "evaluator", "squeezer", "method", "dataset")

COMMANDS = {
    "method": "delt-host run --method $name --baseline delt",
    "dataset": "delt-host run --method delt --baseline cda --dataset $name",
    "squeezer": "delt-host run --method delt --baseline cda --set teacher.squeezer=$name",
    "evaluator": "delt-host run --method delt --baseline cda --evaluator $name",
}


def write_package(name: str, kind: str, folder: Path) -> list[Path]:
    """Write the package NAME into `folder`/NAME and return its files. InputError for a bad name or a folder in use."""
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise InputError(f"{name!r} is no name for a plugin: lower-case words joined by hyphens, as in my-{kind}")
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise InputError(f"{name!r} is a word of Python's own; take another, as in my-{name}")
    target = folder / name
    if not files.is_free(target):
        raise InputError(f"{target} exists already; choose another name or --to another folder")
    command = COMMANDS.get(kind, f"delt-host run --method delt --{kind} $name --baseline delt")
    words = {
        "name": name,
        "module": module,
        "kind": kind,
        "cls": "".join(word.capitalize() for word in name.split("-")),
        "command": Template(command).substitute(name=name),
    }
    test = f"test_{kind}.py" if kind in ("method", "dataset") else "test_component.py"
    contents = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{module}.py": f"{kind}.py",
        f"tests/test_{module}.py": test,
    }
    with writing_to(target, "--to"), files.making_folder(target) as package:
        for path, template in contents.items():
            text = (
                resources.files("delt_plugins.desk")
                .joinpath("templates", f"{template}.txt")
                .read_text(encoding="utf-8")
            )
            files.write(package / path, Template(text).substitute(words))
    return [target / path for path in contents]
