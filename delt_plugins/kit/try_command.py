"""``delt-host try ./mine.py:Mine``: what something does, within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from delt_host.workshop import STAGES, Installed, options, terminal


@click.command(
    "try",
    cls=options.Command,
    examples={
        "a matcher in a file": "delt-host try ./mine.py:Mine",
        "with another option, on your images": "delt-host try ./mine.py:Mine --set matcher.weight=2 --dataset folder:PATH",
        "one that is installed, without the checks": "delt-host try dm --kind matcher --no-kit",
    },
)
@click.argument("name", type=Installed("method", *STAGES, "form", "regime", "protocol", "dataset", "model"))
@options.PARTS.option(
    "--kind", default="", metavar="KIND", help="Which is meant, where things of several kinds have the name."
)
@options.dataset
@options.DATA.option(
    "--teacher", type=Installed("model", shown="MODEL|FILE"), help="Whom it asks (default: a small one, kept)."
)
@options.sets("An option of it, as of a run.")
@options.OUTPUT.option("--no-kit", is_flag=True, help="Its figures alone, without what the conformance kit says.")
@options.out("Where the images go (default try-NAME.png).")
@options.device
@options.store
@options.plugins
@options.quiet("figures and errors")
def command(
    name: str,
    kind: str,
    dataset: str | None,
    teacher: str | None,
    sets: tuple[str, ...],
    no_kit: bool,
    out: Path | None,
    device: str | None,
    store: Path | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    quiet: bool,
) -> None:
    """Try a component, method, network or dataset for seconds.

    NAME is installed, or ./FILE.py:NAME. Of a matcher its first terms and their gradients, an iteration's time and images
    before and after twenty; of every kind what the conformance kit says.
    """
    from delt_host import RunError
    from delt_host.workshop import observer_for, parse_sets, short_name, slug
    from delt_plugins.kit.trial import tried

    registry = options.loaded(plugins, prefer)
    picture = out or Path(f"try-{slug(short_name(name))}.png").absolute()
    observer = observer_for(terminal.errors(), quiet)
    asked: dict[str, Any] = {"dataset": dataset, "teacher": teacher, "options": parse_sets(sets), "device": device}
    asked |= {"registry": registry, "store": store, "picture": picture, "observer": observer, "kit": not no_kit}
    broken = 0
    with observer:
        for trial in tried(name, kind, **asked):
            terminal.say(str(trial.findings[-1] if trial.findings else trial))
            broken = sum(bool(finding.broken) for finding in trial.findings)
    if broken:
        raise RunError(f"{short_name(name)} breaks {broken} of its promises")
