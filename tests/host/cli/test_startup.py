"""What commands import before they answer, each in an interpreter that has imported nothing."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest

from commands import cold, delt_host

HEAVY = ("torch", "torchvision", "scipy", "sklearn", "numpy", "pydantic", "matplotlib")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["store"], ["runs", "."], ["show", "delt"], ["plugins"], ["list", "models"]],
)
def test_what_only_tells_does_not_wait_for_torch(tmp_path: Path, arguments: list[str]) -> None:
    """In an interpreter that has imported nothing. What is installed was looked at once before."""
    (tmp_path / "store" / "recover" / "k").mkdir(parents=True)
    if arguments[0] in ("show", "plugins", "list"):
        assert delt_host(*arguments).returncode == 0
    check = (
        f"import sys; sys.argv = ['delt-host', *{arguments!r}]\nfrom delt_host.cli import cli\n"
        f"cli(standalone_mode=False)\nprint(sorted({set(HEAVY)} & set(sys.modules)), file=sys.stderr)"
    )
    done = cold("-c", check, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout and done.stderr.strip() == "[]", done.stderr


def test_runs_are_listed_without_torch(small_run: Path) -> None:
    """Their results are checked by pydantic, which takes a tenth of a second; nothing heavier."""
    check = (
        "import sys; from delt_host.cli import cli\n"
        "cli(['runs', '.'], standalone_mode=False)\nprint(*sys.modules, file=sys.stderr)"
    )
    done = cold("-c", check, cwd=small_run.parent)
    assert done.returncode == 0 and "delt, cda" in done.stdout, done.stderr
    assert set(HEAVY) & set(done.stderr.split()) == {"pydantic"}


def test_the_console_script_is_the_command_line() -> None:
    """As pip left it beside this interpreter, or what it would hold, in an interpreter that has imported nothing."""
    (point,) = (p for p in distribution("delt-host").entry_points if p.group == "console_scripts")
    assert (point.name, point.value) == ("delt-host", "delt_host.cli:main")
    module, function = point.value.split(":")
    done = cold("-c", f"from {module} import {function}; {function}()", "rnu")
    assert done.returncode == 2 and "did you mean 'run'?" in done.stderr
    done = cold("-c", f"from {module} import {function}; {function}()", "--help")
    assert done.returncode == 0 and "import-teacher" in done.stdout
