"""What a finished run left behind, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from delt_host.errors import InputError


def read_results(run: Path) -> dict[str, Any]:
    """A run's results.json; InputError where the folder is no finished run's."""
    file = run / "results.json"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        lines = results["lines"]
    except FileNotFoundError:
        there = "is not finished" if (run / "experiment.toml").is_file() else "is not the folder of a run"
        raise InputError(f"{run} {there}: it has no results.json") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise InputError(f"{file} cannot be read: its lines are no list of tables")
    return dict(results)
