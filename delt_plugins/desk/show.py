"""``delt-host show NAME``: what a method or component is, its options, defaults and types."""

from __future__ import annotations

import json
from typing import Any

import click

from delt_host.workshop import STAGES, Installed, options, terminal


@click.command("show")
@click.argument("name", type=Installed("method", *STAGES, "form", "regime", "protocol", "dataset"))
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str, plugins: tuple[str, ...], prefer: tuple[str, ...], as_json: bool) -> None:
    """Print what a method or component is, and its options.

    NAME is that of a method, component, regime, protocol or dataset; options come with their defaults and types.
    """
    from delt_host import InputError
    from delt_host.workshop import unknown
    from delt_plugins.desk.catalogue import catalogue

    found = catalogue(plugins, prefer)
    things = found["things"]
    records = [entries[name] for entries in things.values() if name in entries]
    clashes = [clash["said"] for clash in found["clashes"] if clash["name"] == name]
    if clashes and not records:
        raise InputError("; ".join(clashes))
    for note in found["notes"]:
        terminal.complain(f"note: {note}")
    if not records:
        raise unknown("name", name, {known for entries in things.values() for known in entries})
    if as_json:
        terminal.say(json.dumps(records, indent=1))
        return
    for record in records:
        _print(record)


def _print(record: dict[str, Any]) -> None:
    terminal.say(f"{record['kind']} {record['name']}")
    if record["kind"] == "method":
        terminal.say(f"  {record['summary']}\n  source: {record['source']}")
        for stage in ("initializer", "scheduler", "matcher", "form", "evaluator"):
            _choice(stage, record[stage])
        if record["regime"]:
            terminal.say(f"  published regime: {record['regime']} (a run tells all rows the same; see --regime)")
        for dataset, options in record["datasets"].items():
            terminal.say(f"  on {dataset}: {', '.join(f'{k}={v}' for k, v in options.items())}")
        return
    if record["kind"] == "regime":
        terminal.say(f"  {record['summary']}\n  source: {record['source']}")
        for stage in ("relabeler", "protocol"):
            _choice(stage, record[stage])
        return
    for line in record["about"].splitlines():
        terminal.say(f"  {line}")
    if record["source"]:
        terminal.say(f"  source: {record['source']}")
    for option, info in record["options"].items():
        default = "required" if info["required"] else f"default {info['default']!r}"
        terminal.say(f"  {option}: {info['type']}, {default}" + (f"\n      {info['about']}" if info["about"] else ""))
    for dataset, options in record.get("datasets", {}).items():
        terminal.say(f"  on {dataset}: {', '.join(f'{k}={v}' for k, v in options.items())}")


def _choice(stage: str, choice: dict[str, Any] | None) -> None:
    options = ", ".join(f"{k}={v}" for k, v in choice["options"].items()) if choice else ""
    terminal.say(f"  {stage}: {choice['name'] if choice else 'none'}" + (f" ({options})" if options else ""))
