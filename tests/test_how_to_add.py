"""The examples of docs/how-to-add.md are whole: each is written to its file, imported, and passes the conformance kit."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from conftest import ROOT
from delt_host.contracts.kinds import HOOKS
from delt_plugins.kit import check

PAGE = (ROOT / "docs" / "how-to-add.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL))
SHOWN = ("matcher", "scheduler", "method", "dataset", "protocol", "form")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_keeps_its_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{name}.py").write_text(EXAMPLES[name], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(name)
    try:
        given = [thing for hook in HOOKS if hasattr(module, hook) for thing in getattr(module, hook)().values()]
        assert len(given) == 1
        check(given[0]() if isinstance(given[0], type) else given[0])
    finally:
        del sys.modules[name]


def test_every_kind_that_the_page_promises_has_its_example() -> None:
    hooks = re.findall(r"^def (delt_\w+)\(", "".join(EXAMPLES.values()), flags=re.MULTILINE)
    assert sorted(HOOKS[hook] for hook in hooks) == sorted(SHOWN)
    for kind in SHOWN:
        assert re.search(rf"^## An? {kind}$", PAGE, flags=re.MULTILINE)
