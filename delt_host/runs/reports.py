"""The reports of installed plugins, written beside a run's results; whatever goes wrong with one is a note."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from delt_host.basics import traces
from delt_host.basics.guard import SHARED, Guarded
from delt_host.plugins.registry import Registry


def write(registry: Registry, folder: Path, note: Callable[[str], None]) -> Iterator[tuple[str, Path]]:
    """Have each report of a finished run's folder written, and tell its name and where it lies; `note` is told what failed."""
    for name, offer in registry.provided["report"].items():
        try:
            with Guarded(partial("report {} of {}".format, name, offer.plugin), note, SHARED):
                written = Path(offer.thing(folder))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a drawing library does, sys.exit() too: the results are there
            traces.give(error)
            said = traces.told(error, [offer.plugin.module])
            note(f"there is no {name} of {offer.plugin}: {said}; the results are complete without it")
        else:
            yield name, written
