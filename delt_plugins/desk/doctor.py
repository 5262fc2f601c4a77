"""``delt-host doctor``: what machine, versions, precision, memory, store and plugins a run would see."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from delt_host import RunError
from delt_host.workshop import options, terminal


@click.command("doctor")
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(plugins: tuple[str, ...], prefer: tuple[str, ...], as_json: bool) -> None:
    """Say what a run would see here, and what is wrong.

    Exit code 1 where something is.
    """
    from rich.markup import escape
    from rich.table import Table

    seen, wrong = examine(plugins, prefer)
    if as_json:
        terminal.say(json.dumps({**seen, "wrong": wrong}, indent=1))
    else:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, value in seen.items():
            table.add_row(name, escape(str(value)))
        terminal.out().print(table)
    if wrong:
        raise RunError("; ".join(wrong))


def examine(plugins: Sequence[str] = (), prefer: Sequence[str] = ()) -> tuple[dict[str, Any], list[str]]:
    """What there is by name, and a sentence for each thing that is wrong."""
    from importlib.metadata import version

    import torch

    from delt_host import Compute, InputError
    from delt_host.workshop import Store, default_store, device_memory, device_name, size

    wrong: list[str] = []
    compute = Compute.choose()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    seen: dict[str, Any] = {
        **{name: version(name) for name in ("delt-host", "torch", "torchvision", "timm")},
        "python": f"{platform.python_version()} on {platform.platform()}",
        "device": device_name(compute.device) or f"cpu, {torch.get_num_threads()} threads",
        "precision": compute.precision + ("" if compute.precision == "bf16" else ": bf16 is not native here"),
        "memory": size(device_memory(compute.device) or memory),
    }
    try:
        root = Store(default_store()).root
        seen["store"] = f"{root}, {size(shutil.disk_usage(root).free)} free"
    except InputError as error:
        seen["store"] = "cannot be used"
        wrong.append(str(error))
    registry = options.loaded(plugins, prefer, lambda _note: None)  # which are among what is wrong
    idle = [plugin for plugin in registry.plugins if plugin.problem]
    counts = {kind: len(entries) for kind, entries in registry.provided.items() if entries}
    seen["plugins"] = f"{len(registry.plugins) - len(idle)} in use: " + ", ".join(
        f"{count} {kind}s" for kind, count in counts.items()
    )
    wrong += [f"plugin {plugin.name} of {plugin} is not in use: {plugin.problem}" for plugin in idle if plugin.broken]
    wrong += [*map(str, registry.clashes.values()), *registry.remarks, *registry.dangling()]
    seen["runs"] = f"{len(list(Path('runs').glob('*/experiment.toml')))} in runs/"
    return seen, wrong
