"""Write from the code what is written from it.

docs/reference.md: the commands' help, and every method, component, form, network, regime, dataset and protocol. docs/api.md:
the public names. The schema of results.json, and its fields in docs/results-format.md.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import delt_host
from delt_host import toolbox, workshop
from delt_host.basics.version import STAGES
from delt_host.cli import cli, commands
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.results import FORMAT, Results
from delt_host.plugins.registry import load_registry

DOCS = Path(__file__).parent
SCHEMA = DOCS.parent / "delt_host" / "contracts" / f"results-format-{FORMAT}.schema.json"
FIELDS = "\n## Fields\n"  # what is after this heading in docs/results-format.md is written here
WIDTH = "88"  # columns: what a page shows without scrolling on a laptop
OURS = "delt-host"  # other distributions that happen to be installed are not part of our reference


def reference() -> str:
    """The whole page."""
    runner = CliRunner(env={"COLUMNS": WIDTH})
    lines = ["# Reference", "", "Written by `make docs` from the code; do not edit.", "", "## Commands"]
    for name in commands.found():
        lines += ["", f"### delt-host {name}", "", "```text", _run(runner, [name, "--help"]).rstrip(), "```"]
    registry = load_registry()
    for kind in ("method", *STAGES, "form", "network_source", "squeezer", "model", "regime", "dataset", "engine"):
        names = [n for n in registry.names(kind) if registry.provider(kind, n).plugin.distribution == OURS]
        lines += ["", f"## {kind.replace('_', ' ').capitalize()}s"]
        for name in names:
            shown = _run(runner, ["show", kind, name])
            lines += ["", f"### {name}", "", "```text", shown.rstrip(), "```"]
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
    lines += ["", "What is published for a dataset, an IPC, or a student where it is the run's only one:", ""]
    for name, protocol in protocols.items():
        for where, settings in protocol.datasets.items():
            lines.append(f"- `{name}` on {where}: {', '.join(f'{k} {_value(v)}' for k, v in settings.items())}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {v}" for k, v in value.items()) or "–"
    return "–" if value == "" else str(value)


def _run(runner: CliRunner, arguments: list[str]) -> str:
    result = runner.invoke(cli, arguments, terminal_width=int(WIDTH), catch_exceptions=False, prog_name="delt-host")
    if result.exit_code:
        raise SystemExit(result.output)
    return result.output


API = """# Public names

Written by `make docs` from the stubs beside these three modules and from docstrings; do not edit. Whatever is not listed is
private and may change without a word. Our own plugins import nothing else of the host, which `make lint` checks.
"""


def api() -> str:
    """The page of what plugins and notebooks import, with the first sentence that each name's docstring has."""
    lines = [API]
    for module in (delt_host, toolbox, workshop):
        lines += [f"## `{module.__name__}`", "", module.__doc__ or "", "", "| name | | defined in |", "|---|---|---|"]
        for name, home in sorted(module.HOMES.items(), key=lambda each: each[0].lower()):
            said = _first_sentence(getattr(module, name), name, home).replace("|", "\\|")
            lines.append(f"| `{name}` | {said} | `{home}` |")
        lines.append("")
    return "\n".join(lines)


def _first_sentence(thing: Any, name: str, home: str) -> str:
    """Of the docstring of a module, class or function, or of the string below a constant."""
    own = inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing)
    text = (thing.__doc__ if own else _below(name, home)) or ""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`])", " ".join(text.partition("\n\n")[0].split()))[0]


def _below(name: str, home: str) -> str:
    body = ast.parse(inspect.getsource(importlib.import_module(home))).body
    for place, statement in enumerate(body[:-1]):
        following = body[place + 1]
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        plain = [each for target in targets for each in getattr(target, "elts", [target])]
        if any(isinstance(target, ast.Name) and target.id == name for target in plain):
            return ast.literal_eval(following.value) if isinstance(following, ast.Expr) else ""
    return ""


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
    (DOCS / "api.md").write_text(api(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
    (DOCS / "results-format.md").write_text(results_format(), encoding="utf-8")


if __name__ == "__main__":
    write()
