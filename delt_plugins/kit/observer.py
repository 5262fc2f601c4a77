"""What the conformance kit asks of an observer."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from delt_host import Observer, Problem, Score
from delt_plugins.kit.small import real_distilled


def results(_observer: type[Observer], _problem: Problem) -> dict[str, Any]:
    return {}


def examine(observer: type[Observer], problem: Problem) -> None:
    """Hears a run to its end, failures too, and writes into the run's folder alone."""
    before = set(Path().iterdir())
    with tempfile.TemporaryDirectory() as folder, observer(Path(folder)) as hearing:  # type: ignore[call-arg]
        hearing.expect(())
        hearing.cached("squeeze", "convnet3")
        with hearing.stage("recover", "a row, seed 0", 10, "image-iterations"):
            hearing.advance(5, {"loss": 1.0})
            hearing.advance(5)
        hearing.note("a sentence")
        known = {"row": "a row", "regime": "hard", "evaluator": "student", "set": 0}
        hearing.scored(Score(**known, scores={"top1": 50.0}), real_distilled(problem))
        hearing.scored(Score(**known, scores={}, failure="it failed"), None)
    left = sorted(set(Path().iterdir()) - before)
    assert not left, (
        f"{observer.__name__}: leaves {left[0]} in the working folder; write into the folder that it is made with"
    )
