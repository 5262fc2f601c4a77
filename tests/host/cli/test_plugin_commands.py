"""Commands of plugins: listed without being imported, run, completed, and one sentence where something is wrong with one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import MAIN, Done, cold

GREET = '''
raise_where_listed = __import__("sys").argv[1:2] != ["greet"]
if raise_where_listed:
    raise RuntimeError("it was imported")
import click
from delt_host.workshop import terminal

@click.command()
@click.option("--loudly", is_flag=True, help="With a mark.")
@click.argument("whom")
def command(loudly, whom):
    """Greet somebody
    kindly. In one line.

    WHOM is a name.
    """
    print("like what any plugin prints")
    terminal.say(f"hello {whom}{'!' * loudly}")
'''


def provide(folder: Path, distribution: str, source: str, name: str = "greet", of: str = "command") -> None:
    """Install a distribution with one module and one command in it."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(f"[delt_host.commands]\n{name} = {module}:{of}\n")


def say(folder: Path, *arguments: str, **environment: str) -> Done:
    return cold(*MAIN, *arguments, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder), **environment})


def completed(folder: Path, *words: str) -> list[str]:
    asked = {"_DELT_HOST_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = say(folder, **asked)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def listed(folder: Path) -> dict[str, str]:
    """What help says of each command; a line of its own each."""
    done = say(folder, "--help")
    assert done.returncode == 0 and done.stderr == ""
    lines = [line.split(maxsplit=1) for line in done.stdout.partition("Commands:\n")[2].splitlines()]
    return {line[0]: line[1] for line in lines}


def test_a_third_partys_command_is_listed_without_being_imported_and_runs(tmp_path: Path) -> None:
    provide(tmp_path, "greetings", GREET)
    commands = listed(tmp_path)
    assert next(iter(commands)) == "run" and {"evaluate", "store"} <= set(commands)
    assert commands["greet"] == "Greet somebody kindly."
    done = say(tmp_path, "greet", "you", "--loudly")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello you!\n", "like what any plugin prints\n")
    shown = say(tmp_path, "greet", "--help").stdout
    assert "WHOM is a name." in shown and "With a mark." in shown


def test_what_ours_do_fits_a_line(tmp_path: Path) -> None:
    assert all(about.endswith(".") and about[0].isupper() for about in listed(tmp_path).values())


def test_a_shell_completes_it_with_its_options(tmp_path: Path) -> None:
    provide(
        tmp_path, "greetings", GREET.replace("sys", "os", 1).replace('.argv[1:2] != ["greet"]', ".environ.get('NO')")
    )
    assert completed(tmp_path, "delt-host", "gre") == ["greet"]
    assert completed(tmp_path, "delt-host", "greet", "--lo") == ["--loudly"]


def test_a_shell_completes_names_of_commands_that_cannot_be_imported(tmp_path: Path) -> None:
    provide(tmp_path, "greetings", GREET)
    assert {"greet", "run", "store"} <= set(completed(tmp_path, "delt-host", ""))
    assert completed(tmp_path, "delt-host", "greet", "--lo") == []


@pytest.mark.parametrize(
    ("source", "of", "said"),
    [
        ("import no_such_module", "command", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "command", "SyntaxError"),
        ("import sys; sys.exit(3)", "command", "it called sys.exit(3)"),
        ("x = 1", "command", "AttributeError: module 'greetings' has no attribute 'command'"),
        ("def command():\n    'Greet.'", "command", "greetings:command is no click command"),
    ],
)
def test_a_command_that_cannot_be_used_ends_in_one_sentence_and_costs_no_other(
    tmp_path: Path, source: str, of: str, said: str
) -> None:
    provide(tmp_path, "greetings", source, of=of)
    assert listed(tmp_path)["greet"] in ("(greetings 1.2)", "Greet.")
    done = say(tmp_path, "greet", "you")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("delt-host: command greet of greetings 1.2") and said in done.stderr
    assert say(tmp_path, "runs", ".").returncode == 0


@pytest.mark.parametrize("name", ["greet", "run", "store"])
def test_two_of_one_name_are_told_where_it_is_used(tmp_path: Path, name: str) -> None:
    provide(tmp_path, "greetings", GREET, name)
    provide(tmp_path, "other-greetings", GREET, name)
    assert name in listed(tmp_path)
    done = say(tmp_path, name)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    for part in (
        f"the command {name!r}",
        "greetings 1.2 (greetings)",
        "other-greetings 1.2 (other_greetings)",
        "uninstall",
    ):
        assert part in done.stderr, part
    assert say(tmp_path, "runs", ".").returncode == 0
