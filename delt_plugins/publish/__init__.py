"""Distilled sets to elsewhere and from there: exported folders with their cards, hubs, published sets.

An exported set replays its labels without teacher, store and registry.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from delt_host import Form
    from delt_plugins.publish.exported import ExportedSet


def load(path: str | Path, forms: Callable[[str], type[Form]] | None = None) -> ExportedSet:
    """An exported set with its soft labels; `delt_plugins.publish.exported.load`."""
    from delt_plugins.publish import exported  # needs torch, which the commands beside it do without until they run

    return exported.load(path, forms)
