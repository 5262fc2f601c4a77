"""How `list` and `show` print what they found."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import click

from delt_host.workshop import terminal, words

Record = dict[str, Any]
CHOICES = ("initializer", "scheduler", "matcher", "form", "evaluator", "relabeler", "protocol")
WIDEST = 120  # columns


def kinds(found: dict[str, dict[str, str]], as_json: bool) -> None:
    """All names by kind."""
    if as_json:
        terminal.say(json.dumps(found, indent=1))
        return
    _list([(words.plural(kind), ", ".join(names)) for kind, names in found.items()], "")
    terminal.say("\nA line on each of a kind: delt-host list KIND; all of one: delt-host show NAME.")
    terminal.say("More networks by name: delt-host list torchvision, delt-host list timm.")


def records(found: list[Record], as_json: bool) -> None:
    """What a word means, each meaning after the other."""
    if as_json:
        terminal.say(json.dumps(found, indent=1))
        return
    for record in found:
        _print(record)


def _print(record: Record) -> None:
    kind, name = record["kind"], record["name"]
    if kind == "kind":
        _kind(record)
        return
    terminal.say(f"{kind} {name}")
    if kind in ("option", "flag"):
        _option(record)
        return
    if kind in ("method", "regime"):
        _made_of_choices(record)
    else:
        for line in str(record.get("about") or record["summary"]).splitlines():
            terminal.say(f"  {line}".rstrip())
        if record.get("source"):
            terminal.say(f"  source: {record['source']}")
    if sizes := record.get("sizes"):
        size = f"{sizes['parameters']:,} parameters at {sizes['classes']} classes and {sizes['image_size']} px"
        terminal.say(f"  {size}, of {record['library'] or record['by']}")
    for option, info in record.get("options", {}).items():
        default = "required" if info["required"] else f"default {info['default']!r}"
        terminal.say(f"  {option}: {info['type']}, {default}" + (f"\n      {info['about']}" if info["about"] else ""))
    for dataset, changed in record.get("datasets", {}).items():
        terminal.say(f"  on {dataset}: {', '.join(f'{k}={v}' for k, v in changed.items())}")
    if typed := record.get("typed") or words.TYPED[kind]:
        own = re.sub(r"\bNAME\b", name + ":PATH" * bool(record.get("location")), typed)
        terminal.say(f"  typed as: {own}")


def _made_of_choices(record: Record) -> None:
    terminal.say(f"  {record['summary']}\n  source: {record['source']}")
    if record.get("of"):
        terminal.say(f"  preset of: {record['of']}, whose published budget its rows are held against")
    for stage in CHOICES:
        if stage in record:
            _choice(stage, record[stage])
    if record.get("regime"):
        terminal.say(
            f"  published regime: {record['regime']} (--regime {record['name']}; a run tells all rows the same)"
        )


def _choice(stage: str, choice: Record | None) -> None:
    changed = ", ".join(f"{k}={v}" for k, v in choice["options"].items()) if choice else ""
    terminal.say(f"  {stage}: {choice['name'] if choice else 'none'}" + (f" ({changed})" if changed else ""))


def _kind(record: Record) -> None:
    about = f": {record['about']}" if record["about"] else ""
    terminal.say(f"{words.plural(record['name'])}{about}")
    _list(list(record["names"].items()))
    if record["typed"]:
        terminal.say(f"  typed as: {record['typed']}")
    if record["options"]:
        stage = record["stage"]
        terminal.say(f"options of them, as --set {stage}.OPTION=VALUE (delt-host show {stage}.OPTION tells of one):")
        _list(list(record["options"].items()))


def _option(record: Record) -> None:
    """Who has it, those together that say the same of it."""
    said: dict[tuple[str, str], list[str]] = {}
    for name, info in record["of"].items():
        default = "" if "default" not in info else "required" if info["required"] else f"default {info['default']!r}"
        text = ", ".join(part for part in (info["type"], default) if part)
        said.setdefault((text, info["about"]), []).append(name)
    for (text, about), names in said.items():
        terminal.say(f"  {', '.join(names)}: {text}".removesuffix(": ") + (f"\n      {about}" if about else ""))
    if record.get("typed"):
        terminal.say(f"  typed as: {record['typed']}")


def _list(rows: list[tuple[str, str]], indent: str = "  ") -> None:
    """Names, and what is said of each beside them; on one line each where no terminal would break it."""
    if not rows:
        return
    if not terminal.out().is_terminal:
        wide = max(len(name) for name, _ in rows)
        for name, text in rows:
            terminal.say(f"{indent}{name:{wide}}  {text}".rstrip())
        return
    formatter = click.HelpFormatter(width=min(shutil.get_terminal_size().columns, WIDEST))
    formatter.current_indent = len(indent)
    formatter.write_dl([(name, text or " ") for name, text in rows])
    terminal.say(formatter.getvalue(), end="")
