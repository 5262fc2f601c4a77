"""Whoever wrote for an earlier delt-host is told, in one sentence, what is written now."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from delt_host.components import Distilled
from delt_host.errors import InputError, RunError
from delt_host.experiment import Budget
from delt_host.methods import Method, use
from delt_host.plan import Phase
from delt_host.plugins import load_registry
from delt_host.request import Request
from delt_host.resolve import resolve

PLUGIN = """
from typing import ClassVar

from delt_host import Dataset, Evaluator, Initializer, Matcher, Relabeler
from delt_host import hookimpl

class Mine({kind}):
{body}

@hookimpl
def delt_{hook}():
    return {{"mine": Mine}}
"""


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (
            "Initializer",
            "def initialize(self, problem): ...",
            r"otherwise now: initialize(self, problem, classes) -> Start",
        ),
        ("Evaluator", "def evaluate(self, problem, distilled, labels): ...", "(self, problem, distilled, taught)"),
        ("Relabeler", "def relabel(self, problem, distilled): ...", "write bind(problem)"),
        ("Relabeler", "def size_bytes(self, problem): ...", "write label_bytes(classes)"),
        ("Relabeler", "while_training: ClassVar[bool] = True", "write stores = False"),
        ("Matcher", "committee: ClassVar[bool] = True", "write the option teachers"),
        ("Relabeler", "committee: ClassVar[bool] = True", "write the option teachers"),
        ("Dataset", "def load(self, observer=None): ...", "written otherwise now: load(self, services)"),
        ("Dataset", "def load(self): ...", "written otherwise now: load(self, services)"),
    ],
)
def test_a_plugin_of_a_former_contract(install: Callable[..., None], kind: str, body: str, said: str) -> None:
    install("former", PLUGIN.format(kind=kind, hook=f"{kind.lower()}s", body=f"    {body}"))
    (note,) = load_registry().notes()
    assert f"{kind.lower()} 'mine'" in note and said in note


@pytest.mark.parametrize("name", ["ImageSet", "LabelledViews", "ViewBatch"])
def test_a_name_that_is_gone(install: Callable[..., None], name: str) -> None:
    install("former", f"from delt_host import {name}")
    (note,) = load_registry().notes()
    assert f"delt_host has no {name}" in note and " now" in note


PIXELS, TARGETS = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.arange(2)
RATE = {"shape": "constant", "start": 0.1, "stop": 0.1, "span": 3}
OLD_ROW = {"method": "delt", "initializer": {"name": "noise"}, "relabeler": {"name": "fkd"}}


def asked(**said: object) -> None:
    resolve(Request.from_table({"method": "delt", **said}, "the recipe"), load_registry())


@pytest.mark.parametrize(
    ("written", "error", "said"),
    [
        (lambda: Distilled(PIXELS, TARGETS), TypeError, r"Distilled.of\(pixels, targets\)"),
        (lambda: Distilled.of(PIXELS, TARGETS).pixels, AttributeError, r"read\(indices\)"),
        (lambda: Phase(active=1, iterations=3, learning_rate=RATE, min_crop=RATE), RunError, r'rates=\{"images"'),
        (lambda: Method(summary="", initializer=use("noise"), relabeler=use("fkd")), ValueError, "regime"),
        (lambda: Budget.parse("bytes"), InputError, "image-iterations, seconds"),
        (lambda: asked(protocol="fair"), InputError, "RELABELER:PROTOCOL"),
        (lambda: asked(relabeler="hard"), InputError, "RELABELER:PROTOCOL"),
        (lambda: asked(method="delt,relabeler=hard"), InputError, "RELABELER:PROTOCOL"),
        (lambda: asked(row=[OLD_ROW]), InputError, "RELABELER:PROTOCOL"),
    ],
)
def test_what_is_written_otherwise_now(written: Callable[[], object], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        written()
