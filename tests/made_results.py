"""Results made by hand: rows with the scores that a test says, under regimes that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from delt_host.compare.differences import compare
from delt_host.contracts.results import (
    CostRecord,
    DataRecord,
    Environment,
    EvaluatorRecord,
    ProtocolRecord,
    RegimeRecord,
    Results,
    RowRecord,
    Score,
)

ROLES = {"random-real": "control", "delt": "method", "rded": "method", "whole set": "ceiling"}


def made_results(
    table: Mapping[str, Mapping[str, Sequence[Any]]],
    *,
    better: Any = "higher",
    unit: str = "%",
    teachers: int = 1,
    pilot: int = 0,
    seconds: tuple[float | None, float | None] = (None, None),
) -> Results:
    """By regime, by row: a score for each set, or a sequence of its students'; None for one that failed.

    `seconds`: of a set and of a student. What is none of `ROLES` is a baseline.
    """
    cost = CostRecord(image_iterations=1, multiply_adds=None, peak_bytes=None)
    labels = list(dict.fromkeys(label for rows in table.values() for label in rows))
    rows = [
        RowRecord(
            label=label, role=ROLES.get(label, "baseline"), components={}, ipc=1, units=1, count=1, image_bytes=1, cost=cost
        )
        for label in labels
    ]  # fmt: skip
    scores, most = [], 0
    for regime, scored in table.items():
        for label, sets in scored.items():
            most = max(most, len(sets))
            for number, own in enumerate(sets):
                for student, value in enumerate(own if isinstance(own, list | tuple) else [own]):
                    shared = {
                        "row": label,
                        "regime": regime,
                        "evaluator": "convnet3",
                        "set": number,
                        "student": student,
                    }
                    shared |= {"teacher": number % teachers, "set_seconds": seconds[0], "seconds": seconds[1]}
                    failed = {"scores": {}, "failure": "it broke"}
                    scores.append(Score(**shared, **(failed if value is None else {"scores": {"top1": value}})))
    results = Results(
        recipe={"ipc": 1, "seeds": list(range(most))},
        data=DataRecord(name="made", fingerprint="f"),
        teachers=(),
        regimes=tuple(
            RegimeRecord(name=name, relabeler={}, protocol=ProtocolRecord(title="fair v2", fingerprint="0"))
            for name in table
        ),
        evaluators=(
            EvaluatorRecord(name="student", title="convnet3", headline="top1", unit=unit, better=better, options={}),
        ),
        rows=tuple(rows),
        scores=tuple(scores),
        differences=(),
        pilot=pilot,
        environment=Environment(device="cpu", threads=1, precision="fp32", python="3.11", system="Linux", versions={}),
        plugins=(),
    )
    return results.model_copy(update={"differences": compare(results)})
