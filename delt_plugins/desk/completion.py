"""``delt-host completion SHELL``: what makes a shell ask delt-host how a word goes on."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from delt_host.workshop import terminal


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a shell complete commands and names.

    \b
    bash: eval "$(delt-host completion bash)"       in ~/.bashrc
    zsh:  eval "$(delt-host completion zsh)"        in ~/.zshrc, after compinit
    fish: delt-host completion fish | source        in ~/.config/fish/config.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    terminal.say(found(click.Group(), {}, "delt-host", "_DELT_HOST_COMPLETE").source())
