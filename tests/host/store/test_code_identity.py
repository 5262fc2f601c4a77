"""The digest of code: what it follows, what it leaves out, and what it cannot see is said and not kept."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import cold, python
from delt_host.contracts.observer import Observer
from delt_host.experiment.experiment import Named
from delt_host.plugins.registry import Registry
from delt_host.stages.host import Host
from delt_host.store import code_identity
from delt_host.store.code_identity import code_of, why_unknown
from delt_host.store.entry import UNKEPT, key_of
from delt_host.store.store import Store

CELL = """
import functools, json
from typing import ClassVar
from math import sqrt
import torch
from delt_host import Matcher
from delt_host.store.code_identity import code_of

STRENGTH = 1
KINDS = frozenset({{"aa", "bb", "cc", "dd"}})

def times(factor):
    def around(inner):
        @functools.wraps(inner)
        def outer(x):
            return factor * inner(x)
        return outer
    return around

@times(2)
def scaled(x, *, power=1):
    return STRENGTH * x**power if "aa" in {{"aa", "bb", "cc"}} else sqrt(2)

half = functools.partial(scaled, power=2)

class Mine(Matcher):
    \"\"\"Documentation.\"\"\"
    weight: float = 1.0
    steps: ClassVar[int] = 3
    def bind(self, problem):
        # a comment
        kinds, kept = KINDS, torch.float32
        return lambda views: {{"pull": half(self.steps * views.images.to(kept)).mean().view(1)}}

{more}
print(json.dumps(code_of(Mine)))
"""


def cell(old: str = "", new: str = "", more: str = "", run: Any = python, **environment: str) -> str:
    script = CELL.format(more=more)
    assert old in script
    done = run("-c", script.replace(old, new, 1) if old else script, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout))


def test_a_class_of_a_notebook_counts_with_the_globals_that_it_names() -> None:
    plain = cell()
    assert not why_unknown(plain) and plain == cell("# a comment", "# another") == cell(
        "Documentation.", "Other words."
    )
    edits = {
        "STRENGTH = 1": "STRENGTH = 2", "STRENGTH * x": "STRENGTH + x", "@times(2)": "@times(3)", "power=1": "power=3",
        "scaled, power=2": "scaled, power=4", "weight: float = 1.0": "weight: float = 2.0", "[int] = 3": "[int] = 4",
        "torch.float32": "torch.float64", '"dd"': '"ee"', "factor * inner": "factor + inner",
    }  # fmt: skip
    found = {old: cell(old, new) for old, new in edits.items()}
    assert len({plain, *found.values()}) == 1 + len(edits), [old for old, code in found.items() if code == plain]


def test_it_is_the_same_in_a_process_of_another_hash_seed() -> None:
    assert cell(run=cold, PYTHONHASHSEED="1") == cell()  # and the server's, which nobody chose


def test_a_global_that_is_no_code_and_no_data_is_named() -> None:
    assert why_unknown(cell("KINDS = frozenset", "KINDS = object() or frozenset")) == "a global of type object"
    assert why_unknown(cell("STRENGTH = 1", "STRENGTH = torch.ones(1)")) == "a global of type Tensor"


@pytest.mark.parametrize(
    ("source", "edited"),
    [
        ("from settings import FACTORS\ndef f(x):\n    return FACTORS.a * x\n", ("a=1", "a=2")),
        ("from settings import double\ndef f(x):\n    return double(x)\n", ("mul, 2", "mul, 3")),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from settings import double\n"
         "def f(x):\n    return double(x)\n", ("mul, 2", "mul, 3")),
        ("try:\n    import no_such_module_there\nexcept ImportError:\n    from settings import double\n"
         "def f(x):\n    return double(x)\n", ("mul, 2", "mul, 3")),
        ("try:\n    from .settings import double\nexcept ImportError:\n    from settings import double\n"
         "def f(x):\n    return double(x)\n", ("mul, 2", "mul, 3")),
    ],
    ids=["an instance", "a partial function", "in place of types", "beside a module that is not there", "a relative import"],
)  # fmt: skip
def test_a_module_that_is_imported_from_counts(tmp_path: Path, source: str, edited: tuple[str, str]) -> None:
    settings = "import operator, types\nfrom functools import partial\nFACTORS = types.SimpleNamespace(a=1)\n"
    settings += "double = partial(operator.mul, 2)\n"
    (tmp_path / "mine.py").write_text(source)
    script = "import mine; from delt_host.store.code_identity import code_of; print(code_of(mine.f))"
    found = []
    for text in (settings, settings.replace(*edited)):
        (tmp_path / "settings.py").write_text(text)
        done = python("-c", script, cwd=tmp_path)
        assert done.returncode == 0 and not why_unknown(done.stdout), done.stdout + done.stderr
        found.append(done.stdout)
    assert found[0] != found[1]


def test_a_module_edited_after_its_import_is_not_taken_for_what_runs(tmp_path: Path) -> None:
    script = """
import importlib, pathlib, mine
from delt_host.store.code_identity import code_of, why_unknown
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
        script = "import mine; from delt_host.store.code_identity import code_of; print(code_of(mine.f))"
        found.append(python("-c", script, cwd=tmp_path).stdout)
    assert found[0] == found[1] != ""


def test_names_are_followed_to_the_module_that_defines_them() -> None:
    """The host's first page names everything; whoever imports from it depends on what was asked for."""
    from delt_host.training import students as train
    from delt_plugins.sre2l.batch_norm import BatchNormMatching

    modules: set[str] = set()
    code_identity._follow(BatchNormMatching.__module__, modules, set())
    assert {"delt_host.contracts.matcher", "delt_host.toolbox.statistics", "delt_plugins.sre2l.batch_norm"} <= modules
    assert (
        not {"delt_host", "delt_host.training.students", "delt_host.display.table", "delt_plugins.delt.ranked"}
        & modules
    )
    assert code_of(BatchNormMatching) != code_of(train.train_student)


@pytest.mark.parametrize(
    "source",
    [
        "from delt_host.toolbox import FEATURE_BATCH as it",
        "from delt_host import toolbox as its\nit = its.FEATURE_BATCH",
        "import delt_host.toolbox as its\nit = its.FEATURE_BATCH",
        "import delt_host.workshop\nimport delt_host.toolbox\nit = delt_host.toolbox.FEATURE_BATCH",
        "import delt_host as its\nit = its.toolbox.FEATURE_BATCH",
        "from delt_host.toolbox import *\nit = FEATURE_BATCH",
    ],
)
def test_a_name_of_the_public_modules_is_followed_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "mine.py").write_text(f"{source}\ndef f():\n    return it\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    modules = code_identity.modules_of(importlib.import_module("mine").f)
    assert "delt_host.toolbox.feature_space" in modules
    assert ("delt_host.toolbox.unroll" in modules) == ("from delt_host.toolbox import FEATURE" not in source), (
        "all of the toolbox counts only where it is imported as a whole"
    )


def test_an_edited_constant_that_is_imported_from_the_toolbox_changes_the_code(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from delt_host.toolbox import FEATURE_BATCH\ndef f():\n    return FEATURE_BATCH\n"
    )
    host = shutil.copytree(Path(code_identity.__file__).parents[1], tmp_path / "delt_host")
    script = "import mine; from delt_host.store.code_identity import code_of; print(code_of(mine.f))"
    found = []
    for file, old, new in (
        ("toolbox/feature_space.py", "FEATURE_BATCH", "FEATURE_BATCH"),
        ("toolbox/unroll.py", "def unrolled(", "def more(): pass\ndef unrolled("),
        ("toolbox/feature_space.py", "FEATURE_BATCH = ", "FEATURE_BATCH = 1 + "),
    ):
        text = (host / file).read_text()
        assert old in text
        (host / file).write_text(text.replace(old, new, 1))
        script = f"import delt_host; assert delt_host.__file__ == {str(host / '__init__.py')!r}; {script}"
        done = python("-c", script, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, anew=True)
        assert done.returncode == 0 and not why_unknown(done.stdout), done.stdout + done.stderr
        found.append(done.stdout)
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("thing", "others"),
    [
        ("datasets.digits:Digits", ["datasets.folder", "datasets.tiny_imagenet", "datasets.plugin"]),
        ("datasets.folder:ImageFolder", ["datasets.digits", "datasets.tiny_imagenet", "datasets.plugin"]),
        ("squeezers.ordinary:Ordinary", ["squeezers.flat", "squeezers.plugin"]),
        ("networks.convnet:ConvNet", ["networks.wide_resnet", "networks.plugin"]),
    ],
)
def test_a_familys_other_members_do_not_count(thing: str, others: list[str]) -> None:
    module, _, name = thing.partition(":")
    seen = code_identity.modules_of(getattr(importlib.import_module(f"delt_plugins.{module}"), name))
    assert f"delt_plugins.{module}" in seen and not {f"delt_plugins.{other}" for other in others} & seen


@pytest.mark.parametrize("inputs", [{"of": f"{UNKEPT}x"}, {"component": {"code": [f"{UNKEPT}y"]}}])
def test_what_holds_in_this_process_alone_is_not_written(tmp_path: Path, inputs: dict[str, Any]) -> None:
    store, calls = Store(tmp_path / "store"), []

    def work() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        calls.append(1)
        return {"x": torch.arange(3)}, {}

    first, again = store.make("stage", inputs, work), store.make("stage", inputs, work)
    assert calls == [1] and not first.cached and again.cached and torch.equal(again.tensors["x"], torch.arange(3))
    assert store.holds("stage", store.key("stage", inputs)) and not list((tmp_path / "store").glob("stage/*"))
    assert key_of([first.key, "more"]).startswith(UNKEPT), "what is made from it is not kept either"


def test_a_note_says_once_what_is_not_kept_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from delt_plugins.controls.real import Real

    said: list[str] = []
    observer = Observer()
    observer.note = said.append  # type: ignore[method-assign]
    monkeypatch.setattr(
        "delt_host.stages.host.identity", lambda _component: {"code": f"{UNKEPT}1 a global of type Tensor"}
    )
    host = Host(Registry(), Store(tmp_path / "store"), observer)
    found = [host.identity("initializer", Named("real", Real())) for _ in range(2)]
    assert key_of(found[0]).startswith(UNKEPT)
    assert said == ["nothing that depends on initializer real is kept: a global of type Tensor"]
