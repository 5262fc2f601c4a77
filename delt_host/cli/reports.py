"""The reports of installed plugins, written beside a run's results; whatever goes wrong with one is a note."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from delt_host.basics import traces
from delt_host.basics.guard import SHARED, Guarded
from delt_host.cli import terminal
from delt_host.cli.options import shown_path
from delt_host.plugins.registry import Registry


def write(registry: Registry, folder: Path) -> Iterator[str]:
    """Have each report of a finished run's folder written, and say where it lies."""
    for name, offer in registry.provided["report"].items():
        try:
            with Guarded(
                partial("report {} of {}".format, name, offer.plugin),
                lambda note: terminal.complain(f"note: {note}"),
                SHARED,
            ):
                written = Path(offer.thing(folder))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a drawing library does, sys.exit() too: the results are there
            traces.give(error)
            said = traces.told(error, [offer.plugin.module])
            terminal.complain(
                f"note: there is no {name} of {offer.plugin}: {said}; the results are complete without it"
            )
        else:
            yield f"The {name}{', for a browser' * (written.suffix == '.html')}: {shown_path(written)}"
