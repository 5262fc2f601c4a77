"""Write from the code what is written from it.

docs/reference.md: the commands' help, and every method, component, dataset and protocol. The schema of results.json, and
its fields in docs/results-format.md.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from delt_host.cli import LazyGroup, cli
from delt_host.components import STAGES
from delt_host.data import DATASETS
from delt_host.plugins import load_registry
from delt_host.protocols import Protocol
from delt_host.results import FORMAT, Results

DOCS = Path(__file__).parent
SCHEMA = DOCS.parent / "delt_host" / f"results-format-{FORMAT}.schema.json"
FIELDS = "\n## Fields\n"  # what is after this heading in docs/results-format.md is written here
OURS = "delt-host"  # other distributions that happen to be installed are not part of our reference


def reference() -> str:
    """The whole page."""
    runner = CliRunner(env={"COLUMNS": "100"})
    lines = ["# Reference", "", "Written by `make docs` from the code; do not edit.", "", "## Commands"]
    for name in LazyGroup.commands_at:
        lines += ["", f"### delt-host {name}", "", "```", _run(runner, [name, "--help"]).rstrip(), "```"]
    registry = load_registry()
    for kind in ("method", *STAGES, "dataset"):
        names = (
            list(DATASETS)
            if kind == "dataset"
            else [n for n in registry.names(kind) if registry.provider(kind, n).plugin.distribution == OURS]
        )
        lines += ["", f"## {kind.capitalize()}s"]
        for name in names:
            records = re.split(rf"^(?=\w+ {re.escape(name)}$)", _run(runner, ["show", name]), flags=re.MULTILINE)
            shown = next(
                record for record in records if record.startswith(f"{kind} {name}\n")
            )  # its protocol is elsewhere
            lines += ["", f"### {name}", "", "```", shown.rstrip(), "```"]
    lines += [
        "",
        "## Protocols",
        "",
        "Settings with which students are trained, and what each named protocol changes.",
        "",
    ]
    protocols = {
        name: registry.get("protocol", name)()
        for name in registry.names("protocol")
        if registry.provider("protocol", name).plugin.distribution == OURS
    }
    lines += [f"| setting | {' | '.join(protocols)} |", f"|---{'|---' * len(protocols)}|"]
    for option in Protocol.model_fields:
        values = [getattr(protocol, option) for protocol in protocols.values()]
        lines.append(f"| {option} | " + " | ".join(_value(value) for value in values) + " |")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {v}" for k, v in value.items()) or "–"
    return "–" if value == "" else str(value)


def _run(runner: CliRunner, arguments: list[str]) -> str:
    result = runner.invoke(cli, arguments, terminal_width=100, catch_exceptions=False, prog_name="delt-host")
    if result.exit_code:
        raise SystemExit(result.output)
    return result.output


def schema() -> str:
    """The JSON schema of results.json."""
    written: dict[str, Any] = _untitled(Results.model_json_schema())
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"delt-host results, format {FORMAT}"}
    return json.dumps(head | written, indent=1) + "\n"


def _untitled(schema: Any) -> Any:
    """Without pydantic's titles, which say the names again."""
    if isinstance(schema, list):
        return [_untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: {field: _untitled(each) for field, each in part.items()}
        if name in ("properties", "$defs")
        else _untitled(part)
        for name, part in schema.items()
        if name != "title" or not isinstance(part, str)
    }


def results_format() -> str:
    """The page on results.json: what is written by hand, then each record's fields."""
    head, heading, _ = (DOCS / "results-format.md").read_text(encoding="utf-8").partition(FIELDS)
    whole = json.loads(schema())
    lines = ["", "Written by `make docs` from the code, as is the schema; do not edit."]
    places = {"": whole}
    while places:
        place, record = places.popitem()
        title = place or "The file"
        lines += ["", f"### {title}", "", record["description"], "", "| field | type and range | |", "|---|---|---|"]
        inner = {}
        for name, field in record["properties"].items():
            lines.append(f"| `{name}` | {_kind(field)} | {field.get('description', '')} |")
            reference = field.get("$ref") or field.get("items", {}).get("$ref")
            if reference:
                path = f"{place}.{name}".removeprefix(".") + "[]" * ("items" in field)
                inner[path] = whole["$defs"][reference.rpartition("/")[2]]
        places |= dict(reversed(inner.items()))
    return head + heading + "\n".join(lines) + "\n"


def _kind(field: dict[str, Any]) -> str:
    """A field's type and range, in words."""
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if "const" in field or "enum" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field or field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"table of {_several(inner)}" if isinstance(inner, dict) else "table"
    if field["type"] == "array":
        return "list of " + ("3 numbers" if "prefixItems" in field else _several(field["items"]))
    least = " ≥ 0" if field.get("minimum") == 0 else " ≥ 1" if field.get("exclusiveMinimum") == 0 else ""
    return {"string": "text", "boolean": "true or false"}.get(field["type"], field["type"]) + least


def _several(field: dict[str, Any]) -> str:
    kind = _kind(field)
    return f"{kind}s" if kind in ("table", "text") else kind


def write() -> None:
    """Everything."""
    (DOCS / "reference.md").write_text(reference(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
    (DOCS / "results-format.md").write_text(results_format(), encoding="utf-8")


if __name__ == "__main__":
    write()
