"""Whatever can be typed is listed and shown, by kind; wrong guesses lead on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from commands import delt_host
from delt_host.basics.seeding import isolated_rng
from delt_host.cli import cli, commands
from delt_host.contracts.kinds import KINDS
from delt_host.experiment.words import WORDS
from delt_host.networks.build import build_model
from delt_host.plugins import lookup, words
from delt_host.plugins.catalogue import everything
from delt_host.plugins.registry import Registry, load_registry
from delt_plugins.desk import printed
from delt_plugins.desk.meaning import Meaning

Told = Callable[[list[dict[str, Any]]], str]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(scope="module")
def catalogue(registry: Registry) -> dict[str, Any]:
    return everything(registry)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(autouse=True)
def one_store(store: Path, _own_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is looked at once for all tests here."""
    monkeypatch.setenv("DELT_HOST_STORE", str(store))


@pytest.fixture
def meaning(catalogue: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Meaning:
    monkeypatch.setattr("delt_plugins.desk.meaning.catalogue", lambda *_: catalogue)
    return Meaning((), ())


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """What is printed of records."""

    def tell(records: list[dict[str, Any]]) -> str:
        printed.records(records, as_json=False)
        return capsys.readouterr().out

    return tell


def say(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*arguments: str) -> str:
    """The sentence of an error."""
    done = delt_host(*arguments)
    assert done.returncode == 2 and done.stdout == "", done.stdout
    return done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_listed_by_its_names_with_a_line_each(kind: str, registry: Registry) -> None:
    """A kind that is new gets a line in `words.TYPED`, and whatever is of it a docstring."""
    assert kind in words.TYPED
    there = json.loads(say("list", kind, "--json"))[0]
    assert set(there["names"]) == set(registry.names(kind)) and there["about"] == KINDS[kind].about
    assert all(there["names"].values()), there["names"]
    for word in (words.plural(kind), words.plural(kind).replace(" ", "-"), kind.replace("_", "-").upper()):
        assert say("list", word) == say("list", kind)
    lines = say("list", kind).splitlines()
    assert lines[0].startswith(f"{words.plural(kind)}: ")
    assert {line.split()[0] for line in lines[1 : 1 + len(there["names"])]} == set(registry.names(kind))


def test_the_list_has_all_names_and_all_kinds(registry: Registry) -> None:
    listed = json.loads(say("list", "--json"))
    assert listed == json.loads(say("show", "--json"))
    for kind in KINDS:
        assert set(listed[kind]) == set(registry.names(kind))
    assert set(listed["command"]) == set(commands.found())
    assert set(listed["plugin"]) == {plugin.name for plugin in registry.plugins}
    assert set(listed["stage"]) == set(words.KIND_OF_STAGE)
    assert {name for kind in listed for name in listed[kind]} >= {word.name for word in WORDS}
    shown = say("list")
    for kind, names in listed.items():
        assert f"{words.plural(kind)} " in shown and all(name in shown for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_is_shown(kind: str, registry: Registry, meaning: Meaning, told: Told) -> None:
    for name in registry.names(kind):
        shown = told(meaning.of(name, kind))
        lines = shown.splitlines()
        assert lines[0] == f"{kind} {name}" and len(lines) > 1
        if words.TYPED[kind]:
            assert lines[-1].startswith("  typed as: ") and name in lines[-1]
        assert shown in told(meaning.of(name))


def test_every_other_word_is_shown(registry: Registry, meaning: Meaning, told: Told) -> None:
    for word in {w.name for w in WORDS} | set(commands.found()):
        assert f" {word}\n" in told(meaning.of(word)), word
    for plugin in registry.plugins:
        assert meaning.of(plugin.name)
        assert told(meaning.of(plugin.name, "plugin")).startswith(f"plugin {plugin.name}\n  delt-host ")


@pytest.mark.parametrize("stage", words.KIND_OF_STAGE)
def test_a_stage_tells_its_options_and_each_can_be_shown(stage: str, meaning: Meaning, told: Told) -> None:
    shown = told(meaning.of(stage))
    options = lookup.options_of(meaning.found, words.KIND_OF_STAGE[stage])
    assert bool(options) == (f"--set {stage}.OPTION=VALUE" in shown)
    for option in options:
        assert f"\n  {option} " in shown
        one = told(meaning.of(f"{stage}.{option}"))
        assert one.startswith(f"option {stage}.{option}\n") and one.endswith(f"--set {stage}.{option}=VALUE\n")


def test_every_option_of_every_command_is_shown(meaning: Meaning) -> None:
    """By itself, or where its name means something else, by what that is."""
    flags: dict[str, list[str]] = {}
    for name, each in commands.found().items():
        for option in each.load().params:
            for flag in option.opts if isinstance(option, click.Option) else ():
                if flag.startswith("--"):
                    flags.setdefault(flag.removeprefix("--"), []).append(name)
    assert len(flags) > 50
    for flag, by in flags.items():
        records = meaning.of(flag)
        assert records and all(set(by) == set(record["of"]) for record in records if record["kind"] == "flag"), flag


def test_teacher_is_its_stage_and_a_pair_tells_two_of_one_name_apart() -> None:
    shown = say("show", "teacher")
    assert shown == say("list", "teachers") and "  ordinary " in shown and "  sam " in shown
    assert "\n  rho " in shown and "(sam)" in shown and "--teacher MODEL" in shown
    assert [record["kind"] for record in json.loads(say("show", "hard", "--json"))] == ["relabeler", "regime"]
    assert [record["kind"] for record in json.loads(say("show", "regimes", "hard", "--json"))] == ["regime"]
    assert say("show", "plugin", "delt").startswith("plugin delt\n  delt-host ")


def test_an_option_says_who_has_it_and_where_defaults_differ() -> None:
    shown = say("show", "protocol.epochs")
    assert "fair" in shown and "default 300" in shown and "dsa: int, default 1001" in shown
    names = [record["name"] for record in json.loads(say("show", "epochs", "--json"))]
    assert {"protocol.epochs", "teacher.epochs"} <= set(names)
    assert say("show", "student.epochs") == say("show", "epochs")
    assert say("show", "protocol.lr") == say("show", "protocol.learning_rate")
    assert "--engine NAME,minutes=VALUE" in say("show", "minutes")


@pytest.mark.parametrize(
    ("name", "library", "side"),
    [("convnet3", "", 32), ("torchvision:resnet18", "torchvision", 224), ("resnet10t", "timm", 224)],
)
def test_any_network_that_can_be_typed_is_shown_with_its_size(
    name: str, library: str, side: int, registry: Registry
) -> None:
    """As many parameters as the network has that is really made."""
    with isolated_rng(0, "test"):
        network = build_model(name, 10, side, registry.things("model"))
    size = sum(each.numel() for each in network.parameters())
    (record,) = json.loads(say("show", name, "--json"))
    assert (record["kind"], record["name"], record["library"]) == ("model", name, library) and record["summary"]
    assert record["sizes"] == {"parameters": size, "classes": 10, "image_size": side}
    assert f"{size:,} parameters at 10 classes and {side} px" in say("show", name)


def test_networks_of_libraries_are_listed() -> None:
    for library, name in (("torchvision", "vit_b_16"), ("timm", "resnet10t")):
        assert name in say("list", library).splitlines() and name in json.loads(say("list", library, "--json"))


@pytest.mark.parametrize(
    ("word", "kind"),
    [("networks", "model"), ("Models", "model"), ("students", "model"), ("baselines", "method"), ("losses", "matcher")],
)
def test_other_words_for_kinds(word: str, kind: str) -> None:
    assert say("list", word) == say("list", kind)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "conv3"], "did you mean 'convnet3' (model)"),
        (["show", "resnet18_modified"], "nothing is called 'resnet18_modified'; did you mean 'resnet18' (model)?"),
        (["show", "vit_b_166"], "'vit_b_16' (network of torchvision)"),
        (["show", "early-latte"], "nothing is called 'early-latte'; did you mean 'early-late' (scheduler)"),
        (["show", "matcher", "batchnorm"], "no matcher is called 'batchnorm'; did you mean 'batch-norm' (matcher)?"),
        (["show", "matcher", "delt"], "no matcher is called 'delt'"),
        (["show", "a", "b", "c"], "a name, or a kind and a name, not 3 words"),
        (["list", "protocolls"], "there is no kind 'protocolls'; did you mean 'protocols'?"),
        (["list", "delt"], "delt is no kind but a method; delt-host show delt tells of it"),
        (["models"], "delt-host list models"),
        (["delt"], "delt-host show delt"),
    ],
)
def test_a_wrong_guess_leads_on(arguments: list[str], said: str) -> None:
    sentence = refused(*arguments)
    assert said in sentence and len(sentence.splitlines()[-1]) < 500


def test_a_name_of_a_third_party_is_listed_and_shown_with_what_its_docstring_says() -> None:
    """As of any plugin: the first sentence, or that of the contract where it has none of its own."""
    from delt_host import Matcher
    from delt_host.plugins.catalogue import names, record
    from delt_host.plugins.registry import Plugin, Provided

    class Mine(Matcher):
        """Pulls images to zero. Nothing more."""

        weight: float = 2.0

        def bind(self, problem: object) -> None: ...  # type: ignore[override]

    registry = Registry()
    registry.provided["matcher"]["mine"] = Provided(Mine, Plugin("mine", "my-package", "1", "mine"))
    assert names(registry, "matcher") == {"mine": "Pulls images to zero."}
    about = record(registry, "matcher", "mine")
    assert about["by"] == "my-package" and about["options"]["weight"]["default"] == 2.0
