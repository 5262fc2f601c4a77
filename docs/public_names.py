"""A hook of MkDocs: pages of the public names, from the stubs and from docstrings, without importing anything of ours.

A name that is added to a stub is on its family's page by itself, and linked from docs/api.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
FAMILIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "delt_host": {
        "Functions and results": ("api", "runs", "contracts.results"),
        "Problems and components": (
            *("contracts.problem", "contracts.component", "contracts.prepared", "contracts.services"),
            *("basics", "store", "contracts.hookspecs"),
        ),
        "Methods and regimes": ("contracts.methods",),
        "Initializers": ("contracts.initializer",),
        "Schedulers and plans": ("contracts.scheduler", "contracts.plan"),
        "Matchers": ("contracts.matcher",),
        "Network sources": ("contracts.network_source", "networks"),
        "Forms and sets": ("contracts.form", "contracts.sets"),
        "Relabelers and labels": ("contracts.relabeler", "contracts.labels"),
        "Protocols": ("contracts.protocol",),
        "Evaluators": ("contracts.evaluator", "contracts.taught"),
        "Datasets": ("contracts.dataset", "contracts.reader", "images"),
        "Teachers and squeezers": ("contracts.teacher", "contracts.squeezer"),
        "Observers, engines and others": ("",),
    },
    "delt_host.toolbox": {
        "Toolbox: networks and training": ("toolbox", "networks", "training"),
        "Toolbox: views of images": ("images",),
        "Toolbox: data, keys and seeds": ("",),
    },
    "delt_host.workshop": {"Workshop": ("",)},
}
"""By public module, its pages, and the modules of the host whose names each holds: the first that fits; the last fits all."""
BRIEF = "\n    options:\n      members: false\n      show_source: false"  # the workshop is for those who read the code


def pages() -> dict[str, tuple[str, list[str]]]:
    """By page, its title and the public names on it, ``delt_host.Matcher`` and its like, in the order of the stub."""
    found: dict[str, tuple[str, list[str]]] = {}
    for public, families in FAMILIES.items():
        for name, home in _listed(public):
            title = next(title for title, parts in families.items() if any(_within(home, part) for part in parts))
            place = "api/" + "-".join(re.findall(r"\w+", title.lower())) + ".md"
            found.setdefault(place, (title, []))[1].append(f"{public}.{name}")
    titles = [title for families in FAMILIES.values() for title in families]
    return dict(sorted(found.items(), key=lambda page: titles.index(page[1][0])))


def _listed(public: str) -> Iterator[tuple[str, str]]:
    path = ROOT.joinpath(*public.split("."))
    stub = path / "__init__.pyi" if path.is_dir() else path.with_suffix(".pyi")
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            yield from ((each.name, str(node.module)) for each in node.names)


def _within(home: str, part: str) -> bool:
    return not part or f"{home}.".startswith(f"delt_host.{part}.")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation has these pages below docs/api.md."""

    def grown(entry: Any) -> Any:
        if isinstance(entry, list):
            return [grown(each) for each in entry]
        if not isinstance(entry, dict):
            return entry
        return {
            title: [{"All of them": "api.md"}, *({name: place} for place, (name, _) in pages().items())]
            if below == "api.md"
            else grown(below)
            for title, below in entry.items()
        }

    config.nav = grown(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for place, (title, names) in pages().items():
        brief = BRIEF if title == "Workshop" else ""
        text = "\n\n".join([f"# {title}", *(f"::: {name}{brief}" for name in names)])
        files.append(File.generated(config, place, content=text + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """On docs/api.md, whose tables are public modules one after the other, each name leads to its page."""
    if page.file.src_uri != "api.md":
        return markdown
    places = {name: place for place, (_, names) in pages().items() for name in names}
    parts = re.split(r"^## `([\w.]+)`$", markdown, flags=re.MULTILINE)
    for index in range(1, len(parts), 2):
        public = parts[index]
        parts[index] = f"## `{public}`"

        def linked(row: re.Match[str], public: str = public) -> str:
            name = f"{public}.{row[1]}"
            return f"| [`{row[1]}`]({places[name]}#{name}) |"

        parts[index + 1] = re.sub(r"^\| `(\w+)` \|", linked, parts[index + 1], flags=re.MULTILINE)
    return "".join(parts)
