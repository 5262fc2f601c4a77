"""Plugins found by entry points of real distributions: clashes, broken ones, blocked ones, misspelt hooks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import delt_host
from conftest import ROOT, Install, lines_of
from delt_host.basics.errors import InputError
from delt_host.basics.version import NO_AUTOLOAD
from delt_host.contracts.dataset import RealData
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_plugins.kit import random_teacher

pytestmark = pytest.mark.usefixtures("with_teacher")


MATCHER = """
from delt_host import Matcher, hookimpl
class Mine(Matcher):
    weight: float = 1.0
    def bind(self, problem):
        return lambda views: {"pull": self.weight * views.images.square().mean().view(1)}
@hookimpl
def delt_matchers():
    return {"NAME": Mine}
"""


def test_our_own_plugins_are_found_by_entry_points() -> None:
    registry = load_registry()
    assert {"delt", "cda", "sre2l", "random-real"} <= set(registry.names("method"))
    provider = registry.provider("matcher", "batch-norm").plugin
    assert (provider.distribution, provider.module) == ("delt-host", "delt_plugins.sre2l.plugin")


def test_a_third_partys_matcher_is_listed_with_its_provenance(install: Install) -> None:
    install("my-matcher", MATCHER.replace("NAME", "mine"))
    plugin = load_registry().provider("matcher", "mine").plugin
    assert (plugin.distribution, plugin.version) == ("my-matcher", "1.2")


def test_two_plugins_with_one_name_are_refused_unless_one_is_preferred(install: Install) -> None:
    install("other-dist", MATCHER.replace("NAME", "batch-norm"), "3.4")
    registry = load_registry()
    assert registry.get("matcher", "distribution") and registry.get("method", "delt"), "whose names are their own"
    (note,) = registry.notes()
    with pytest.raises(InputError) as caught:
        registry.get("matcher", "batch-norm")
    assert str(caught.value) == note
    message = str(caught.value)
    for part in (
        "matcher 'batch-norm'",
        "delt-host 0.",
        "other-dist 3.4",
        "plugin.py",
        "other_dist.py",
        "--prefer other-dist",
    ):
        assert part in message, part
    chosen = load_registry(prefer=["other-dist"]).provider("matcher", "batch-norm")
    assert chosen.plugin.distribution == "other-dist"
    assert load_registry(prefer=["delt-host"]).provider("matcher", "batch-norm").plugin.distribution == "delt-host"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def f(:", "SyntaxError"),
        (
            MATCHER.replace("delt_matchers", "delt_machers"),
            "unknown hook 'delt_machers'; did you mean 'delt_matchers'?",
        ),
        (MATCHER.replace("(Matcher)", "").replace("NAME", "mine"), "is not a subclass of delt_host.Matcher"),
        (MATCHER.replace('{"NAME": Mine}', "1 / 0"), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plugin_is_reported_and_skipped(install: Install, source: str, problem: str) -> None:
    install("broken-one", source)
    registry = load_registry()
    broken = next(p for p in registry.plugins if p.name == "broken-one")
    assert problem in broken.problem
    (note,) = registry.notes()
    assert "broken-one" in note and "is left out" in note and problem in note, "a run begins with it"
    assert "delt" in registry.names("method")
    with pytest.raises(InputError, match="plugins not in use: broken-one from broken-one"):
        registry.get("matcher", "mine-or-not")


def test_blocked_plugins_are_missing_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = load_registry(["no:delt"])
    assert registry.notes() == [], "nobody needs to be told what they asked for"
    assert "delt" not in registry.names("method") and "cda" in registry.names("method")
    with pytest.raises(InputError, match=r"unknown method 'delt'.*delt from delt-host \(blocked\)"):
        registry.get("method", "delt")
    monkeypatch.setenv(NO_AUTOLOAD, "1")
    assert load_registry().names("method") == []
    assert load_registry(["cda"]).names("method") == ["cda"]


def test_without_any_plugin_the_host_starts_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NO_AUTOLOAD, "1")
    done = delt_host("run", "-m", "delt")
    assert done.returncode == 2 and "unknown dataset 'digits'" in done.stderr and NO_AUTOLOAD in done.stderr
    done = delt_host("run", "-m", "delt", "--dataset", "folder:here")
    assert (
        done.returncode == 2 and "unknown dataset 'folder'" in done.stderr and done.stderr.count("from delt-host") == 1
    )
    assert delt_host("plugins").returncode == 0


def test_the_host_never_imports_its_plugins() -> None:
    host = ROOT / "delt_host"
    offenders = [
        p.name
        for p in host.rglob("*.py")
        if "import delt_plugins" in p.read_text() or "from delt_plugins" in p.read_text()
    ]
    assert offenders == []


def test_a_third_partys_matcher_runs_beside_a_baseline(install: Install, tmp_path: Path) -> None:
    """The researcher's evening: a matcher from another package in the same table."""

    from click.testing import CliRunner

    from delt_host.cli import cli

    install("my-matcher", MATCHER.replace("NAME", "mine"))
    settings = ["--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "scheduler.iterations=8"]
    arguments = ["run", "-m", "delt", "--matcher", "mine", "-b", "delt", "--ipc", "1", "--seeds", "1", *settings]
    result = CliRunner().invoke(
        cli, [*arguments, "--set", "protocol.epochs=1", "--set", "matcher.weight=2", "-q", "--out", "run"],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = lines_of(tmp_path / "run")
    assert lines["delt (matcher=mine)"].row.components["matcher"] == {
        "name": "mine", "weight": 2.0, "networks": {"name": "frozen"}, "balance": "given",
    }  # fmt: skip
    assert lines["delt"].row.components["matcher"]["name"] == "batch-norm"
    assert lines["delt (matcher=mine)"].differences[0].other == "delt"


BROKEN = {
    "nan": ("self.weight * views", "float('nan') * views", "term 'pull' became nan"),
    "raises": ("return lambda views:", "return None or [][0] or", "IndexError: list index out of range"),
    "shape": (".mean().view(1)", ".mean()", "term 'pull' must have shape"),
    "disk": ("return lambda views:", "open('run', 'w'); return lambda views:", "IsADirectoryError"),
    "exits": ("return lambda views:", "__import__('sys').exit(0); return lambda views:", "it called sys.exit(0)"),
}


@pytest.mark.parametrize("how", [*BROKEN])
def test_a_row_whose_matcher_fails_leaves_the_others_complete(install: Install, tmp_path: Path, how: str) -> None:
    from click.testing import CliRunner

    from delt_host.basics.errors import RunError
    from delt_host.cli import cli

    whole, broken, said = BROKEN[how]
    source = MATCHER.replace("NAME", how).replace(whole, broken)
    assert source != MATCHER.replace("NAME", how)
    install(f"{how}-matcher", source)
    settings = ["--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "scheduler.iterations=8"]
    arguments = ["run", "-m", "delt", "--matcher", how, "-b", "delt", "--ipc", "1", "--seeds", "1", *settings]
    result = CliRunner().invoke(cli, [*arguments, "--set", "protocol.epochs=1", "-q", "--out", "run"])
    assert isinstance(result.exception, RunError) and f"delt (matcher={how})" in str(result.exception)
    output = " ".join(result.output.split())
    assert f"matcher {how} of {how}-matcher 1.2 ({how}_matcher): {said}" in output
    assert (tmp_path / "run" / "delt" / "seed-0" / "distilled.safetensors").is_file()


def test_a_network_source_that_does_not_know_its_name_is_left_out(install: Install) -> None:
    source = """
from typing import Literal

from delt_host import NetworkSource, hookimpl
from delt_host.contracts.network_source import Frozen

class Nameless(Frozen):
    name: Literal["frozen"] = "frozen"

@hookimpl
def delt_network_sources():
    return {"mine": Nameless}
"""
    install("my-networks", source)
    registry = load_registry()
    (plugin,) = (plugin for plugin in registry.plugins if plugin.name == "my-networks")
    assert "network_source 'mine' needs the option `name: Literal['mine'] = 'mine'`" in plugin.problem
    assert "mine" not in registry.names("network_source")


def test_a_clash_is_settled_by_a_distribution_in_any_spelling_and_said_where_it_settles_nothing(
    install: Install,
) -> None:
    install("My_Matcher", MATCHER.replace("NAME", "batch-norm"))
    registry = load_registry(prefer=["my-matcher"])
    assert registry.provider("matcher", "batch-norm").plugin.distribution == "My_Matcher" and not registry.notes()
    first = load_registry(prefer=["delt-host", "MY.MATCHER"])
    assert first.provider("matcher", "batch-norm").plugin.distribution == "delt-host", "the first before the later ones"
    with pytest.raises(InputError, match="unknown distribution with plugins 'nobody'"):
        load_registry(prefer=["nobody"])
    (note,) = load_registry(["no:My_Matcher"], ["my-matcher"]).notes()
    assert "--prefer my-matcher settles nothing" in note


def test_a_name_of_the_hosts_own_is_a_clash_too(install: Install) -> None:
    source = """
from delt_host import Protocol, hookimpl
class Mine(Protocol): pass
@hookimpl
def delt_protocols(): return {"fair": Mine}
@hookimpl
def delt_models(): return {"convnet3": lambda classes, size: None}
"""
    install("own-names", source)
    registry = load_registry()
    with pytest.raises(InputError, match="two plugins provide the protocol 'fair': delt-host .* and own-names 1.2"):
        registry.get("protocol", "fair")
    with pytest.raises(InputError, match="two plugins provide the model 'convnet3'"):
        registry.things("model")["convnet3"](10, 8)
    assert registry.get("protocol", "delt-paper") and "convnet4" in registry.things("model")


def test_hooks_that_come_along_with_an_import_belong_to_the_module_that_defines_them(
    install: Install, tmp_path: Path
) -> None:
    install("star-import", "from delt_plugins.delt.plugin import *\n" + MATCHER.replace("NAME", "mine"))
    (tmp_path / "no_plugin.py").write_text(MATCHER.replace("NAME", "lost"))
    install("re-export", "from no_plugin import delt_matchers")
    registry = load_registry()
    assert registry.provider("initializer", "ranked").plugin.distribution == "delt-host"
    assert registry.get("matcher", "mine") and "lost" not in registry.names("matcher")
    (note,) = registry.notes()
    assert "delt_matchers is defined in no_plugin, which is no plugin: define it in re_export" in note


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('return {"NAME": Mine}', '{"NAME": Mine}', "not None: is its `return` missing?"),
        ('return {"NAME": Mine}', 'yield "NAME", Mine', "not a generator"),
        ('"NAME"', '"a,b"', "the name 'a,b'"),
        ('"NAME"', '"a=b"', "the name 'a=b'"),
        ('"NAME"', '"a b"', "the name 'a b'"),
        ('"NAME"', '""', "the name ''"),
        ('"NAME"', "5", "the name 5"),
        ("Mine}", "Mine()}", "give the class, not an instance of it"),
        ("def bind", "def bnd", "has no bind()"),
        ("delt_matchers()", "delt_matchers(registry)", "is called without arguments, and asks for registry"),
        ("@hookimpl", "", "write @hookimpl over it"),
        ("return {", "raise SystemExit(0)\n    return {", "it called sys.exit(0)"),
        ("class Mine", "1 / 0\nclass Mine", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_told_with_file_and_line(
    install: Install, old: str, new: str, said: str
) -> None:
    install("wrong-one", MATCHER.replace(old, new).replace("NAME", "mine"))
    registry = load_registry()
    (note,) = registry.notes()
    assert said in note and re.search(r"wrong_one\.py, line \d+\)$", note), note
    assert "mine" not in registry.names("matcher") and registry.get("method", "delt")


def test_one_module_of_two_distributions_is_no_clash_and_points_of_one_name_are_two(
    install: Install, tmp_path: Path
) -> None:
    install("dist-a", MATCHER.replace("NAME", "mine"))
    install("dist-b", MATCHER.replace("NAME", "other"))
    for name, module in (("dist_a", "dist_a"), ("dist_b", "dist_b"), ("dist_c", "dist_a")):
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[delt_host]\nsame = {module}\n")
    registry = load_registry()
    assert not registry.notes() and {"mine", "other"} <= set(registry.names("matcher"))
    assert {"mine", "other"}.isdisjoint(load_registry(["no:same"]).names("matcher"))


def test_plugins_and_preferences_are_of_the_recipe_until_the_command_line_says_otherwise() -> None:
    recipe = Request(plugins=["no:dsa", "cda"], prefer=["one"])
    both = recipe.updated(Request(plugins=["dsa"], prefer=["two"]))
    assert both.plugins == ["dsa", "cda"] and both.prefer == ["two", "one"]
    registry = load_registry()
    experiment = resolve(Request(method=["delt"], plugins=["no:dsa"], prefer=["delt-host"]), registry)
    again = Request.from_table(experiment.recipe(), "the recipe")
    assert (again.plugins, again.prefer) == (["no:dsa"], ["delt-host"])


def test_a_clash_stops_no_command_that_does_not_use_the_name(install: Install, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from delt_host.cli import cli

    install("other-dist", MATCHER.replace("NAME", "batch-norm"))

    def say(*arguments: str) -> Any:
        return CliRunner().invoke(cli, list(arguments))

    assert "two plugins provide the matcher 'batch-norm'" in say("plugins").output and say("plugins").exit_code == 0
    assert say("show", "delt").exit_code == 0 and isinstance(say("show", "batch-norm").exception, InputError)
    assert "weight" in say("show", "batch-norm", "--prefer", "other-dist").output
    assert "two plugins provide" in str(say("doctor").exception) and "precision" in say("doctor").output


def test_a_method_that_names_what_nobody_provides_is_told_by_name(install: Install) -> None:
    source = """
from delt_host import Method, hookimpl, use
@hookimpl
def delt_methods(): return {"mine": Method(summary="x", initializer=use("nosuch"))}
"""
    install("my-method", source)
    registry = load_registry()
    (said,) = registry.dangling()
    assert said == "method mine of my-method 1.2 (my_method) names the initializer 'nosuch', which nobody provides"
    with pytest.raises(InputError, match="method mine: unknown initializer 'nosuch'; did you mean 'noise'"):
        resolve(Request(method=["mine"]), registry)


def test_a_teachers_file_names_the_plugin_that_has_its_network(digits: RealData) -> None:
    teacher = replace(random_teacher(digits), architecture="tiny-net", plugin="my-networks 1.2")
    with pytest.raises(InputError) as caught:
        teacher.check_known(load_registry().things("model"), "the teacher t.safetensors")
    said = (
        "the teacher t.safetensors is a 'tiny-net', of the plugin my-networks 1.2, which is not in use here: install it"
    )
    assert str(caught.value) == said
    assert Teacher.from_facts(teacher.facts(), {}).plugin == "my-networks 1.2"
