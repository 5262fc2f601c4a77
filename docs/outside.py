"""A hook of MkDocs: links that lead out of docs/ work on the site as they do in the repository.

``[plain](../benchmarks/plain.py)`` leads to the file on any code host. The site is docs/ alone, so the file is taken along: a
Markdown file as a page, a folder as the page of its README, anything else as it is.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

NOT_IN_NAV = InclusionLevel.NOT_IN_NAV
ROOT = Path(__file__).parents[1]
PAGES = {"README.md": "index.md"}  # what the site has a page of its own for
ALWAYS = {"CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md", "LICENSE": "LICENSE.md"}
"""In the navigation whether anything links to them or not: the file, and its page."""
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add whatever the pages link to and docs/ does not hold, and what those pages link to."""
    waiting = [(f.src_uri, f.content_string) for f in files.documentation_pages()]
    for name, place in ALWAYS.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        text = text if place == name else f"# Licence\n\n{text}"
        files.append(File.generated(config, place, content=text))
        waiting.append((place, text))
    while waiting:
        page, text = waiting.pop()
        for target in _outside(page, text):
            place = _place(target)
            if files.get_file_from_path(place) is None and (ROOT / _file(target)).is_file():
                content = (ROOT / _file(target)).read_bytes()
                files.append(File.generated(config, place, content=content, inclusion=NOT_IN_NAV))
                if place.endswith(".md"):
                    waiting.append((place, content.decode("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they are in the repository become links as they are on the site."""
    here = page.file.src_uri

    def moved(link: re.Match[str]) -> str:
        target = _target(here, link[2])
        place = target.removeprefix("docs/") if target.startswith("docs/") else _place(target)
        return f"{link[1]}{posixpath.relpath(place, posixpath.dirname(here) or '.')}{link[3]}"

    return LINK.sub(moved, markdown)


def _home(page: str) -> str:
    """The folder of the repository that a page's links start from."""
    inside = (ROOT / "docs" / page).is_file()
    return posixpath.dirname(f"docs/{page}" if inside else page)


def _target(page: str, link: str) -> str:
    """What a link leads to, from the repository's root."""
    return posixpath.normpath(posixpath.join(_home(page), link))


def _outside(page: str, text: str) -> Iterator[str]:
    targets = (_target(page, link[2]) for link in LINK.finditer(text))
    return (target for target in targets if not target.startswith("docs/") and target not in PAGES)


def _file(target: str) -> str:
    """The file that stands for a target: a folder's README."""
    return f"{target}/README.md" if (ROOT / target).is_dir() else target


def _place(target: str) -> str:
    """Where a target is on the site."""
    return PAGES.get(target) or ALWAYS.get(target) or _file(target)
