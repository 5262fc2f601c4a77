"""`sweep.json`: which runs a sweep's folder holds, and in what they differ. Each lies in a folder of its own, as any run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from delt_host.basics.errors import InputError
from delt_host.basics.options import build
from delt_host.store import files

SWEEP_FILE, SWEEP_RECIPE = "sweep.json", "sweep.toml"
SHOWN_RUNS = 4


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class PointRecord(_Record):
    """One run of a sweep."""

    folder: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    """Where it lies in the sweep's."""
    varied: dict[str, Any]
    """In what it differs from the others: `dataset`, `ipc`, or an option by its dotted name, with its value here."""


class Sweep(_Record):
    """The runs of a sweep, in the order in which they are run."""

    format: Literal[1] = 1
    points: tuple[PointRecord, ...]

    def write(self, folder: Path) -> None:
        """OSError where that fails."""
        files.write(folder / SWEEP_FILE, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")


def read_sweep(folder: Path) -> Sweep | None:
    """What a folder says of its runs; None where it is no sweep's. InputError where that cannot be read."""
    file = folder / SWEEP_FILE
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    return build(Sweep, table, str(file))


def refuse_sweep(folder: Path) -> None:
    """InputError where a sweep's folder is named and one of its runs is meant."""
    if (sweep := read_sweep(folder)) is not None:
        raise InputError(f"{folder} is the folder of a sweep; name one of its runs: {told(folder, sweep.points)}")


def told(folder: Path, points: Sequence[PointRecord]) -> str:
    """Where its first runs lie."""
    shown = ", ".join(str(folder / point.folder) for point in points[:SHOWN_RUNS])
    return shown + ", …" * (len(points) > SHOWN_RUNS)
