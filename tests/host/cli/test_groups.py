"""Help in groups: every command with many options has headings and examples, and these can be typed."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from delt_host.cli import cli, commands
from delt_host.cli.groups import ORDER, Command, Group, Option

MANY = 8  # options that a list without headings may have
LARGE = [name for name, each in commands.found().items() if len(each.load().params) > MANY]


def test_what_is_large() -> None:
    assert {"run", "evaluate", "squeeze", "export", "import", "import-teacher", "reproduce"} <= set(LARGE)


@pytest.mark.parametrize("name", LARGE)
def test_options_of_large_commands_are_in_groups_with_examples(name: str) -> None:
    command = commands.found()[name].load()
    assert isinstance(command, Command) and len(command.examples) >= 3
    groups = {getattr(option, "group", "") for option in command.params if isinstance(option, click.Option)}
    assert groups <= set(ORDER) and len(groups) > 2
    shown = CliRunner().invoke(cli, [name, "--help"]).output
    headings = [line.removesuffix(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [*(each for each in ORDER if each in groups), "Other options", "Examples"]
    assert all(option.opts[0] in shown for option in command.params if isinstance(option, click.Option))


@pytest.mark.parametrize("name", LARGE)
def test_examples_can_be_typed(name: str) -> None:
    command = commands.found()[name].load()
    assert isinstance(command, Command)
    lines = [part.strip() for example in command.examples.values() for part in example.split(";")]
    assert any(line.startswith(f"delt-host {name} ") for line in lines)
    for line in lines:
        program, other, *words = shlex.split(line)
        assert program == "delt-host" and len(line) < 100
        commands.found()[other].load().make_context(other, words)  # which raises where something is no option


def test_a_third_partys_command_has_groups_of_its_own_and_those_without_come_last() -> None:
    @click.command("mine", cls=Command, examples={"all of it": "mine --size 3"})
    @Group("Its own").option("--size", type=int, help="How large.")
    @click.option("--plain", is_flag=True, help="In no group.")
    def mine(size: int | None, plain: bool) -> None:
        """Do it."""
        click.echo(size)

    assert isinstance(mine.params[0], Option)
    shown = CliRunner().invoke(mine, ["--help"]).output
    places = [shown.index(text) for text in ("Its own:\n  --size", "Other options:\n  --plain", "# all of it\n  mine")]
    assert places == sorted(places)
    assert CliRunner().invoke(mine, ["--size", "3"]).output == "3\n"


def test_without_groups_help_is_as_ever() -> None:
    @click.command("mine", cls=Command)
    @click.option("--plain", is_flag=True, help="In no group.")
    def mine(plain: bool) -> None:
        """Do it."""

    assert "\nOptions:\n  --plain" in CliRunner().invoke(mine, ["--help"]).output
