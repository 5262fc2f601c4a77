"""Packages that `delt-host plugins new` writes, and the example packages: their own tests pass at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import python
from conftest import ROOT
from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_plugins.desk.scaffold import KINDS, write_package

pytestmark = pytest.mark.long

EXAMPLES = ROOT / "examples"


def test_the_tests_of_every_new_package_and_example_pass(tmp_path: Path) -> None:
    packages = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
    for kind in KINDS:
        done = CliRunner().invoke(cli, ["plugins", "new", f"my-{kind}", "--kind", kind, "--to", str(tmp_path)])
        assert done.exit_code == 0, done.output
        packages.append(tmp_path / f"my-{kind}")
    path = os.pathsep.join(str(package) for package in packages)
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    tests = [package / "tests" for package in packages]
    result = python("-m", "pytest", *options, *tests, env=environment, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout and "failed" not in result.stdout


def test_a_new_package_says_what_to_do_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["plugins", "new", "sharp-start", "--kind", "initializer", "--to", str(tmp_path)])
    assert "pip install -e ." in done.output
    assert "--initializer sharp-start" in (tmp_path / "sharp-start" / "README.md").read_text()
    assert "class SharpStart(Initializer)" in (tmp_path / "sharp-start" / "sharp_start.py").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("my-thing", "macher", "did you mean 'matcher'"),
        ("My Thing", "matcher", "lower-case words joined by hyphens"),
        ("../up", "matcher", "lower-case words joined by hyphens"),
        ("class", "matcher", "a word of Python's own"),
    ],
)
def test_bad_names_and_kinds_are_refused(tmp_path: Path, name: str, kind: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_package(name, kind, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(InputError, match="exists already"):
        write_package("mine", "matcher", tmp_path)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
