"""``delt-host show NAME``: what a method or component is, its options, defaults and types."""

from __future__ import annotations

import inspect
import json
from typing import Any

import click

from delt_host.cli.completion import STAGES, names

NO_OPTIONS = ("model", "observer")


@click.command("show")
@click.argument("name", shell_complete=names("method", *STAGES, "dataset"))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(name: str, as_json: bool) -> None:
    """Print what NAME is (a method, component or dataset), with its options, defaults, types and source."""
    from delt_host.data import DATASETS
    from delt_host.errors import unknown
    from delt_host.methods import Method
    from delt_host.plugins import load_registry

    registry = load_registry()
    things: dict[str, dict[str, Any]] = {
        kind: registry.things(kind) for kind in registry.provided if kind not in NO_OPTIONS
    }
    things["dataset"] = {**DATASETS, **things["dataset"]}
    found = [(kind, entries[name]) for kind, entries in things.items() if name in entries]
    if not found:
        raise unknown("name", name, {known for entries in things.values() for known in entries})
    records = []
    for kind, thing in found:
        if isinstance(thing, Method):
            records.append({"kind": kind, "name": name, **thing.model_dump(mode="json")})
            continue
        schema = thing.model_json_schema(by_alias=False)
        options = {
            option: {
                "default": None if info.is_required() else info.default,
                "type": _type_text(info.annotation),
                "required": info.is_required(),
                "about": schema["properties"].get(option, {}).get("description", ""),
            }
            for option, info in thing.model_fields.items()
        }
        about = inspect.getdoc(thing) or ""
        records.append(
            {
                "kind": kind,
                "name": name,
                "about": about,
                "source": getattr(thing, "source", ""),
                "options": options,
            }
        )
    if as_json:
        click.echo(json.dumps(records, indent=1, default=str))
        return
    for record in records:
        _print(record)


def _type_text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _print(record: dict[str, Any]) -> None:
    click.echo(f"{record['kind']} {record['name']}")
    if record["kind"] == "method":
        click.echo(f"  {record['summary']}\n  source: {record['source']}")
        for stage in ("initializer", "scheduler", "matcher", "relabeler", "evaluator"):
            choice = record[stage]
            options = ", ".join(f"{k}={v}" for k, v in choice["options"].items()) if choice else ""
            click.echo(f"  {stage}: {choice['name'] if choice else 'none'}" + (f" ({options})" if options else ""))
        if record["committee"]:
            click.echo(f"  committee: {', '.join(record['committee'])} (beside the first teacher, where none is named)")
        for dataset, options in record["datasets"].items():
            click.echo(f"  on {dataset}: {', '.join(f'{k}={v}' for k, v in options.items())}")
        return
    for line in record["about"].splitlines():
        click.echo(f"  {line}")
    if record["source"]:
        click.echo(f"  source: {record['source']}")
    for option, info in record["options"].items():
        default = "required" if info["required"] else f"default {info['default']!r}"
        click.echo(f"  {option}: {info['type']}, {default}" + (f"\n      {info['about']}" if info["about"] else ""))
