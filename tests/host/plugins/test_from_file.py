"""``PATH.py:NAME`` in place of a name: found, named for good, and refused in a sentence."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
import torch

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import isolated_rng
from delt_host.cli.completion import Installed
from delt_host.contracts.identity import identity
from delt_host.contracts.methods import Method
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.networks.build import build_model
from delt_host.plugins.registry import Registry, load_registry
from delt_host.store.code_identity import code_of

MINE = '''
from typing import ClassVar, Literal

from torch import nn

from delt_host import (
    Dataset, Evaluation, Evaluator, Form, Matcher, Method, NetworkSource, Pixels, Protocol, Regime, Relabeler, Scheduler,
    Initializer, Squeezer, use,
)
from helpers import scaled


class Mine(Matcher):
    weight: float = 1.0
    """Of its term."""

    def bind(self, problem):
        network = problem.network
        return lambda views: {"mine": self.weight * scaled(network(views.images)).view(views.groups, -1).mean(1)}


class Half(Pixels):
    """As pixels are."""


class Answers(Relabeler):
    asks: ClassVar[Literal["class", "image", "view"]] = "class"


class Quick(Protocol):
    """Few epochs."""


class Score(Evaluator):
    headline: ClassVar[str] = "one"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"
    model: str = "convnet3"
    """A network."""

    @property
    def title(self):
        return "one"

    def evaluate(self, problem, distilled, taught):
        return Evaluation({"one": 1.0})


def my_net(num_classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, num_classes))


my_method = Method(
    summary="Of parts that lie in this file.",
    initializer=use("noise"),
    scheduler=use("constant", iterations=2),
    matcher=use("./mine.py:Mine", weight=3.0),
)
my_regime = Regime(summary="Mine.", relabeler=use("./mine.py:Answers"), protocol=use("fair"))
'''
HELPERS = """
def scaled(logits):
    return logits.square()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helpers.py").write_text(HELPERS)
    return tmp_path


def resolved(**said: object):  # type: ignore[no-untyped-def]
    registry = load_registry()
    said = {"method": ["cda"], "control": [], "seeds": 1, "ipc": 1, **said}
    return resolve(Request.from_table(said, "a test"), registry), registry


def test_whatever_can_be_named_can_be_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"{folder}/mine.py"
    experiment, registry = resolved(
        method=["./mine.py:my_method", "cda,matcher=./mine.py:Mine,matcher.weight=2"],
        form="./mine.py:Half",
        regime=["./mine.py:my_regime", "./mine.py:Answers:./mine.py:Quick", "fkd:./mine.py:Quick,protocol.epochs=3"],
        evaluator=["student"],
        student=["mine.py:my_net"],
        teacher=["./mine.py:my_net"],
    )
    mine, cda = experiment.rows
    assert (mine.method, mine.label) == (f"{here}:my_method", "mine.py:my_method (form=mine.py:Half)")
    assert mine.matcher.name == cda.matcher.name == f"{here}:Mine"
    assert (mine.matcher.component.weight, cda.matcher.component.weight) == (3.0, 2.0)
    assert cda.label == "cda (form=mine.py:Half, matcher=mine.py:Mine, matcher.weight=2)"
    assert [column.name for column in experiment.regimes] == [
        "mine.py:my_regime",
        "mine.py:Answers:mine.py:Quick",
        "fkd:mine.py:Quick,protocol.epochs=3",
    ]
    assert experiment.teachers[0].model == f"{here}:my_net" == experiment.evaluators[0].component.model
    with isolated_rng(0, "a test"):
        assert isinstance(build_model(f"{here}:my_net", 3, 8, registry.things("model")), torch.nn.Module)
    # Its recipe makes the same of it in any other folder.
    away = folder / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    recipe = away / "experiment.toml"
    recipe.write_text(experiment.to_toml())
    again = resolve(Request.from_recipe(recipe), load_registry())
    assert again.recipe() == experiment.recipe()
    assert [each.path for each in registry.files.plugins] == [here]


def test_options_of_a_component_from_a_file_are_set_as_any(folder: Path) -> None:
    experiment, _ = resolved(matcher="./mine.py:Mine", set={"matcher.weight": "0.25"})
    assert experiment.rows[0].matcher.component.weight == 0.25
    with pytest.raises(InputError, match="matcher mine.py:Mine.weight must be a valid number"):
        resolved(matcher="./mine.py:Mine", set={"matcher.weight": "much"})


def test_a_file_leaves_the_process_as_it_was(folder: Path) -> None:
    path, modules, listed = list(sys.path), set(sys.modules), sorted(folder.iterdir())
    Registry().get("matcher", "./mine.py:Mine")
    assert sys.path == path and sorted(folder.iterdir()) == listed
    assert all(name.startswith("delt_host_file_") for name in set(sys.modules) - modules)


def test_a_file_and_what_it_imports_are_read_anew_after_an_edit_and_their_code_is_the_key(folder: Path) -> None:
    def seen() -> tuple[float, str]:
        cls = Registry().get("matcher", "./mine.py:Mine")
        made = cls()
        return made.weight, str(identity(made))

    weight, key = seen()
    assert seen() == (weight, key) and weight == 1.0
    before = Registry().get("matcher", "./mine.py:Mine")
    (folder / "mine.py").write_text(f"# what this is\n{MINE}")
    assert seen() == (weight, key), "a comment"
    (folder / "mine.py").write_text(MINE.replace("weight: float = 1.0", "weight: float = 2.0"))
    assert seen()[0] == 2.0 and seen()[1] != key
    (folder / "mine.py").write_text(MINE)
    assert seen() == (weight, key), "as it was"
    (folder / "helpers.py").write_text(HELPERS.replace("square()", "abs()"))  # as long, in the same second
    assert seen()[1] != key
    assert str(identity(before())) == key, "what was loaded before is what it was"
    (folder / "helpers.py").write_text(HELPERS)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("mine.py", "helpers.py"):
        (elsewhere / name).write_text((folder / name).read_text())
    moved = Registry().get("matcher", "./elsewhere/mine.py:Mine")
    assert str(identity(moved())) == key, "the folder is no part of it"


def test_a_run_takes_what_was_there_when_it_began(folder: Path) -> None:
    registry = Registry()
    first = registry.get("matcher", "./mine.py:Mine")
    (folder / "mine.py").write_text("raise ValueError")
    assert registry.get("matcher", f"{folder}/mine.py:Mine") is first
    assert registry.get("model", "./mine.py:my_net").__module__ == first.__module__


def test_files_beside_each_other_may_have_helpers_of_one_name(tmp_path: Path) -> None:
    for name, value in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(
            "import helpers.inner\nfrom helpers import outer\n\n\ndef net(classes, size):\n"
            "    import late\n    return helpers.inner.value, outer, late.value\n"
        )
        (tmp_path / name / "helpers").mkdir()
        (tmp_path / name / "helpers" / "__init__.py").write_text("from .inner import value as outer\n")
        (tmp_path / name / "helpers" / "inner.py").write_text(f"value = {value}\n")
        (tmp_path / name / "late.py").write_text(f"value = {value * 10}\n")
    registry = Registry()
    nets = [registry.get("model", f"./{name}/mine.py:net") for name in ("one", "two")]
    assert [net(1, 1) for net in nets] == [(1, 1, 10), (2, 2, 20)]
    before = code_of(nets[0])
    assert before != code_of(nets[1])
    (tmp_path / "one" / "late.py").write_text("value = 30\n")
    again = Registry().get("model", "./one/mine.py:net")
    assert again(1, 1) == (1, 1, 30) and code_of(again) != before, "what is imported late counts too"


def test_a_network_source_from_a_file_goes_by_its_place(folder: Path) -> None:
    (folder / "source.py").write_text(
        "from delt_plugins.sources.fresh import Fresh\n\n\nclass Mine(Fresh):\n    '''Fresh weights.'''\n"
    )
    experiment, _ = resolved(method=["dm"], set={"matcher.networks": "./source.py"})
    networks = experiment.rows[0].matcher.component.networks
    assert networks.name == f"{folder}/source.py:Mine"
    again = resolve(Request.from_table(experiment.recipe(), "a test"), load_registry())
    assert again.rows[0].matcher.component.networks.name == networks.name


MISTAKES = {
    "./mien.py:Mine": r"matcher ./mien.py:Mine: there is no file .*/mien.py; did you mean 'mine.py'\?",
    "./away/mine.py:Mine": r"there is no folder .*/away",
    "./mine.py:Mien": r"mine.py has no 'Mien'; did you mean 'Mine'\? \(it has: matcher Mine; ",
    "./mine.py:Half": r"Half in mine.py is a form, and a matcher is asked for \(it has: matcher Mine; ",
    "./mine.py:scaled": r"scaled in mine.py is no matcher: it is not a subclass of delt_host.Matcher \(helpers.py, line 2\)",
    "./helpers.py": r"helpers.py has no matcher: name what is meant, as in ./helpers.py:NAME \(it has nothing of any kind\)",
    "./two.py": r"two.py has 2 of kind matcher: name what is meant, as in ./two.py:NAME \(it has: matcher A, B\)",
    "./raises.py:Mine": r"raises.py cannot be imported: NameError: name 'nothing' is not defined \(raises.py, line 3\)",
    "./syntax.py:Mine": r"syntax.py cannot be imported: SyntaxError: .* \(syntax.py, line 2\)",
    "./needs.py:Mine": r"needs.py cannot be imported: ModuleNotFoundError: No module named 'helprs' \(needs.py, line 1\)",
    "./through.py:Mine": r"through.py cannot be imported: NameError: .* \(raises.py, line 3\)",
    "./leaves.py:Mine": r"leaves.py cannot be imported: it called sys.exit\(3\) \(leaves.py, line 3\)",
    "./abstract.py:Mine": r"Mine in abstract.py is no matcher: it has no bind\(\) \(abstract.py, line 4\)",
    "./made.py:mine": r"mine in made.py is no matcher: it is not a subclass of delt_host.Matcher: give the class",
}


@pytest.mark.parametrize("word", MISTAKES)
def test_what_is_wrong_is_one_sentence(folder: Path, word: str) -> None:
    for name, source in {
        "two": "from mine import Mine\n\n\nclass A(Mine): ...\n\n\nclass B(Mine): ...\n",
        "raises": "# one\n# two\nnothing\n",
        "syntax": "# one\nclass Mine(:\n",
        "needs": "import helprs\n",
        "through": "import raises\n",
        "leaves": "import sys\n\nsys.exit(3)\n",
        "abstract": "from delt_host import Matcher\n\n\nclass Mine(Matcher): ...\n",
        "made": "from mine import Mine\n\nmine = Mine()\n",
    }.items():
        (folder / f"{name}.py").write_text(source)
    modules = set(sys.modules)
    with pytest.raises(InputError, match=MISTAKES[word]):
        resolved(matcher=word)
    if "import" in MISTAKES[word]:
        assert set(sys.modules) == modules, "nothing is left of a file that failed"


def test_a_component_is_no_network(folder: Path) -> None:
    with pytest.raises(InputError, match="Mine in mine.py is a matcher, and a model is asked for"):
        resolved(teacher=["./mine.py:Mine"])


def test_what_a_file_changes_of_the_process_is_set_back_and_said(folder: Path) -> None:
    (folder / "mine.py").write_text(f"import torch\n\ntorch.manual_seed(3)\n{MINE}")
    experiment, _ = resolved(matcher="./mine.py:Mine")
    assert experiment.notes[-1].endswith("mine.py, imported, changed torch's global generator; set back")


def test_a_dataset_from_a_file_takes_a_path(folder: Path) -> None:
    (folder / "data.py").write_text(
        "from delt_plugins.datasets.folder import ImageFolder\n\n\nclass Mine(ImageFolder):\n    '''Folders.'''\n"
    )
    place = folder / "images"
    place.mkdir()
    experiment, _ = resolved(dataset=f"./data.py:Mine:{place}")
    assert experiment.dataset.name == f"{folder}/data.py:Mine"
    assert experiment.dataset.component.path == str(place)


def test_the_methods_of_a_file_are_as_they_were_written() -> None:
    Path("m.py").write_text("from delt_host import Method, use\n\nm = Method(summary='', initializer=use('noise'))\n")
    found = Registry().get("method", "./m.py")
    assert isinstance(found, Method) and found.initializer.name == "noise"


def test_a_shell_completes_files_and_what_is_in_them(folder: Path) -> None:
    param = click.Argument(["name"])
    kind = Installed("matcher")
    context = click.Context(click.Command("run"))

    def completed(word: str) -> list[tuple[str, str]]:
        return [(item.value, item.type) for item in kind.shell_complete(context, param, word)]

    assert completed("./mi") == [("./mi", "file")]
    assert completed("./mine.py:M") == [("./mine.py:Mine", "plain")]
    assert completed("./mine.py:my_") == [(f"./mine.py:my_{each}", "plain") for each in ("net", "method", "regime")]
    assert ("batch-norm", "plain") in completed("ba")
    assert Installed("plugin").shell_complete(context, param, "./mi") == []
