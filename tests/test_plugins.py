"""Plugins found by entry points of real distributions: clashes, broken ones, blocked ones, misspelt hooks."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import delt_host
from conftest import Install, lines_of
from delt_host.errors import InputError
from delt_host.hookspecs import NO_AUTOLOAD
from delt_host.plugins import load_registry

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

FORMER = """
from delt_host import Labels, Relabeler, hookimpl

class Mine(Relabeler):
    def relabel(self, problem, distilled):
        return Labels()

@hookimpl
def delt_relabelers():
    return {"mine": Mine}
"""


def test_our_own_plugins_are_found_by_entry_points() -> None:
    registry = load_registry()
    assert {"delt", "cda", "sre2l", "random-real"} <= set(registry.names("method"))
    provider = registry.provider("matcher", "batch-norm").plugin
    assert (provider.distribution, provider.module) == ("delt-host", "delt_plugins.sre2l")


def test_a_third_partys_matcher_is_listed_with_its_provenance(install: Install) -> None:
    install("my-matcher", MATCHER.replace("NAME", "mine"))
    plugin = load_registry().provider("matcher", "mine").plugin
    assert (plugin.distribution, plugin.version) == ("my-matcher", "1.2")


def test_two_plugins_with_one_name_are_refused_unless_one_is_preferred(install: Install) -> None:
    install("other-dist", MATCHER.replace("NAME", "batch-norm"), "3.4")
    with pytest.raises(InputError) as caught:
        load_registry()
    message = str(caught.value)
    for part in (
        "matcher 'batch-norm'",
        "delt-host 0.",
        "other-dist 3.4",
        "sre2l.py",
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
        (MATCHER.replace("delt_matchers", "delt_machers"), "PluginValidationError: unknown hook 'delt_machers'"),
        (MATCHER.replace("(Matcher)", "").replace("NAME", "mine"), "is not a subclass of delt_host.Matcher"),
        (FORMER, "relabeler 'mine' defines relabel, which is gone: write bind(problem)"),
        ("from delt_host import LabelledViews", "a batch of views with its answers is a delt_host.Batch now"),
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
    registry = load_registry(block=["delt"])
    assert registry.notes() == [], "nobody needs to be told what they asked for"
    assert "delt" not in registry.names("method") and "cda" in registry.names("method")
    with pytest.raises(InputError, match=r"unknown method 'delt'.*delt from delt-host \(blocked\)"):
        registry.get("method", "delt")
    monkeypatch.setenv(NO_AUTOLOAD, "1")
    assert load_registry().names("method") == []
    assert load_registry(load=["cda"]).names("method") == ["cda"]


def test_without_any_plugin_the_host_starts_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NO_AUTOLOAD, "1")
    done = delt_host("run", "-m", "delt")
    assert done.returncode == 2 and "unknown method 'delt'" in done.stderr and NO_AUTOLOAD in done.stderr
    assert delt_host("plugins").returncode == 0


def test_the_host_never_imports_its_plugins() -> None:
    host = Path(__file__).parents[1] / "delt_host"
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

    from delt_host.cli import cli
    from delt_host.errors import RunError

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
from delt_host.network_source import Frozen

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
