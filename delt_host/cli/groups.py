"""Help in groups: options under a heading each, said where the option is, and examples after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
NONE: Mapping[str, str] = MappingProxyType({})
WIDEST = 30  # columns of the options' names, as click has it


class Option(click.Option):
    """An option of a group, which only help knows."""

    def __init__(self, *arguments: Any, group: str = "", **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.group = group


@dataclass(frozen=True)
class Group:
    """Options that help shows under one heading: these below in their order, and then those of others."""

    heading: str

    def option(self, *names: str, **more: Any) -> Callable[[Decorated], Decorated]:
        """As ``click.option``, in this group."""
        return click.option(*names, cls=Option, group=self.heading, **more)


COMPARED = Group("What is compared")
DATA = Group("On what data, with which teacher")
PARTS = Group("Parts and their options")
SCORED = Group("What students are told, and how sets are scored")
COMPUTED = Group("Where and how it is computed")
OUTPUT = Group("What is written and printed")
ORDER = tuple(group.heading for group in (COMPARED, DATA, PARTS, SCORED, COMPUTED, OUTPUT))


class Command(click.Command):
    """A command whose help has its options by group, and `examples` behind them: by what each does, a line for the shell."""

    def __init__(self, *arguments: Any, examples: Mapping[str, str] = NONE, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            if not isinstance(option, click.Option):  # what an argument is, the text above says
                continue
            if (shown := option.get_help_record(ctx)) is not None:
                sections.setdefault(getattr(option, "group", ""), []).append(shown)
        others = sections.pop("", [])
        width = min(max((len(name) for rows in (*sections.values(), others) for name, _ in rows), default=0), WIDEST)
        last = "Other options" if sections else "Options"
        for heading in dict.fromkeys([*ORDER, *sections, last]):
            if rows := others if heading == last else sections.get(heading):
                with formatter.section(heading):
                    formatter.write_dl([(name.ljust(width), about) for name, about in rows])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                before = " " * formatter.current_indent
                for what, example in self.examples.items():
                    formatter.write(f"{before}# {what}\n{before}{example}\n")
