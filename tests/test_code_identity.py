"""The digest of code: what it follows, what it leaves out, and what it cannot see is said and not kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import python
from delt_host.code_identity import code_of, why_unknown
from delt_host.entry import UNKEPT, key_of
from delt_host.store import Store

CELL = """
import json
from delt_host import Matcher
from delt_host.code_identity import code_of

{helper}

class Mine(Matcher):
    weight: float = {weight}
    def bind(self, problem):
        {comment}
        return lambda views: {{"pull": scaled(views.images).mean().view(1)}}

print(json.dumps(code_of(Mine)))
"""
HELPER = "def scaled(x):\n    return STRENGTH * x\nSTRENGTH = 1"


def cell(helper: str = HELPER, weight: float = 1.0, comment: str = "") -> str:
    done = python("-c", CELL.format(helper=helper, weight=weight, comment=comment))
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout))


def test_a_class_of_a_notebook_counts_with_the_globals_that_it_names() -> None:
    plain = cell()
    assert plain == cell() == cell(comment="# a comment")
    others = [
        cell(HELPER.replace("= 1", "= 2")),
        cell(HELPER.replace("*", "+")),
        cell(weight=2.0),
        cell(comment="x = 1"),
    ]
    assert len({plain, *others}) == 5
    assert not why_unknown(plain)


def test_a_global_that_is_no_code_and_no_data_is_named() -> None:
    code = cell("class Odd:\n    def __mul__(self, x): return x\nODD = Odd()\ndef scaled(x):\n    return x * ODD")
    assert why_unknown(code) == "a global of type Odd"


def test_a_module_edited_after_its_import_is_not_taken_for_what_runs(tmp_path: Path) -> None:
    script = """
import importlib, pathlib, mine
from delt_host.code_identity import code_of, why_unknown
file = pathlib.Path(mine.__file__)
file.write_text(file.read_text().replace("1", "2"))
edited = code_of(mine.scaled)
importlib.reload(mine)
reloaded = code_of(mine.scaled)
file.write_text(file.read_text() + "# more")
print(why_unknown(edited)); print(why_unknown(reloaded) == "", reloaded == code_of(mine.scaled))
"""
    (tmp_path / "mine.py").write_text("def scaled(x):\n    return x * 1\n")
    done = python("-c", script, cwd=tmp_path)
    assert done.stdout.splitlines() == ["mine was edited after it was imported", "True True"], done.stderr


def test_what_is_imported_for_types_alone_does_not_count(tmp_path: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import types_only\ndef f(x):\n    return x\n"
    (tmp_path / "mine.py").write_text(source)
    found = []
    for text in ("A = 1", "A = 2"):
        (tmp_path / "types_only.py").write_text(text)
        script = "import mine; from delt_host.code_identity import code_of; print(code_of(mine.f))"
        found.append(python("-c", script, cwd=tmp_path).stdout)
    assert found[0] == found[1] != ""


def test_names_are_followed_to_the_module_that_defines_them() -> None:
    """The host's first page names everything; whoever imports from it depends on what was asked for."""
    from delt_host import code_identity, train
    from delt_plugins.sre2l import BatchNormMatching

    modules: set[str] = set()
    code_identity._follow(BatchNormMatching.__module__, modules, set())
    assert {"delt_host.components", "delt_host.statistics", "delt_plugins.sre2l"} <= modules
    assert not {"delt_host", "delt_host.train", "delt_host.report.table", "delt_plugins.delt"} & modules
    assert code_of(BatchNormMatching) != code_of(train.train_student)


@pytest.mark.parametrize("inputs", [{"of": f"{UNKEPT}x"}, {"component": {"code": [f"{UNKEPT}y"]}}])
def test_what_holds_in_this_process_alone_is_not_written(tmp_path: Path, inputs: dict[str, Any]) -> None:
    store, calls = Store(tmp_path / "store"), []

    def work() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        calls.append(1)
        return {"x": torch.arange(3)}, {}

    first, again = store.make("stage", inputs, work), store.make("stage", inputs, work)
    assert calls == [1] and not first.cached and again.cached and torch.equal(again.tensors["x"], torch.arange(3))
    assert store.has("stage", inputs) and not list((tmp_path / "store").glob("stage/*"))
    assert key_of([first.key, "more"]).startswith(UNKEPT), "what is made from it is not kept either"
