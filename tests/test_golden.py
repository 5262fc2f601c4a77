"""Golden files say where their figures come from, tests use them, and what the page on published code says is there."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
GOLDEN = TESTS / "golden"
FILES = sorted(GOLDEN.glob("*.json"))
PAGE = TESTS.parent / "docs" / "published.md"
LARGEST = 40_000  # bytes: figures, not code
NOT_TESTED = "stated, not tested"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_file_says_what_printed_its_figures(file: Path) -> None:
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert about.keys() == {"repository", "commit", "files", "figures"}
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", about["repository"])
    assert re.fullmatch(r"[0-9a-f]{40}", about["commit"])
    assert about["files"] and all(isinstance(name, str) and name for name in about["files"])
    assert len(numbers_in(about["figures"])) >= 5


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_file_is_made_by_a_script_and_used_by_a_test(file: Path) -> None:
    assert any(names(script, file.stem) for script in (GOLDEN / "make").glob("*.py"))
    assert any(names(test, file.stem) for test in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_file_holds_figures_and_no_code(file: Path) -> None:
    assert file.stat().st_size <= LARGEST
    texts = texts_in(json.loads(file.read_text(encoding="utf-8"))["figures"])
    assert all(len(text) <= 300 and "\n" not in text for text in texts)


def names(source: Path, figures: str) -> bool:
    """Whether a file of ours names a golden file, perhaps as one of a family: ``f"networks_{which}"``."""
    family = figures.rpartition("_")[0]
    text = source.read_text(encoding="utf-8")
    return f'"{figures}"' in text or bool(family and f'f"{family}_{{' in text)


def numbers_in(figures: Any) -> list[float]:
    """All numbers of nested lists and tables; one that is none would be no figure."""
    if isinstance(figures, dict | list):
        nested = figures.values() if isinstance(figures, dict) else figures
        return [number for each in nested for number in numbers_in(each)]
    return [figures] if isinstance(figures, int | float) else []


def texts_in(figures: Any) -> list[str]:
    """All texts of nested lists and tables, names included."""
    if isinstance(figures, dict):
        return [text for name, each in figures.items() for text in (str(name), *texts_in(each))]
    if isinstance(figures, list):
        return [text for each in figures for text in texts_in(each)]
    return [figures] if isinstance(figures, str) else []


def rows() -> list[list[str]]:
    """The cells of every row of the page's tables."""
    found: list[list[str]] = []
    columns: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            columns = []
        elif not columns:
            columns = cells
        elif set("".join(cells)) - set("-: "):
            assert len(cells) == len(columns), line
            found.append(cells)
        else:
            assert columns[-1] == "test", line
    return found


def test_the_page_has_tables() -> None:
    assert len(rows()) > 30


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[0][:60])
def test_a_row_names_a_test_that_is_there(cells: list[str]) -> None:
    """Or says that there is none."""
    what = cells[0]
    named = re.findall(r"`(tests/[\w/]+\.py)((?:::\w+)*)`", cells[-1])
    assert named or NOT_TESTED in cells[-1], what
    for file, function in named:
        tree = ast.parse((TESTS.parent / file).read_text(encoding="utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function.removeprefix("::") in there, f"{what}: {file}{function}"
    assert all(cells[:-1]), f"{what}: an empty cell"


def test_the_page_names_every_golden_files_repository_and_commit() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for file in FILES:
        about = json.loads(file.read_text(encoding="utf-8"))
        assert about["repository"].removeprefix("https://github.com/") in page, file.name
        assert about["commit"][:7] in page, file.name
