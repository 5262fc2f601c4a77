"""Write docs/reference.md from the code: the commands' help, and every method, component, dataset and protocol."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from delt_host.cli import LazyGroup, cli
from delt_host.components import STAGES
from delt_host.data import DATASETS
from delt_host.plugins import load_registry
from delt_host.protocols import PROTOCOLS, Protocol

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
            lines += ["", f"### {name}", "", "```", _run(runner, ["show", name]).rstrip(), "```"]
    lines += [
        "",
        "## Protocols",
        "",
        "Settings with which students are trained, and what each named protocol changes.",
        "",
    ]
    names = list(PROTOCOLS)
    lines += [f"| setting | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for option in Protocol.model_fields:
        if option not in ("name", "version"):
            values = [getattr(PROTOCOLS[name], option) for name in names]
            lines.append(f"| {option} | " + " | ".join(_value(value) for value in values) + " |")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k} {v:g}" for k, v in value.items()) or "–"
    return "–" if value == "" else str(value)


def _run(runner: CliRunner, arguments: list[str]) -> str:
    result = runner.invoke(cli, arguments, terminal_width=100, catch_exceptions=False, prog_name="delt-host")
    if result.exit_code:
        raise SystemExit(result.output)
    return result.output


if __name__ == "__main__":
    (Path(__file__).parent / "reference.md").write_text(reference(), encoding="utf-8")
