"""What `plugins` and `show` keep of what is installed: the answers are today's, however often somebody asked before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import cold, delt_host
from conftest import Install

MATCHER = """
from delt_host import Matcher, hookimpl
from my_helper import DEFAULT
class Mine(Matcher):
    weight: float = DEFAULT
    def bind(self, problem):
        return lambda views: {"pull": self.weight * views.images.square().mean().view(1)}
@hookimpl
def delt_matchers():
    return {"mine": Mine}
"""


@pytest.fixture(autouse=True)
def on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _own_store: None) -> None:
    """Where `install` puts distributions, also for other processes, which run elsewhere."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


def say(*arguments: str) -> str:
    done = delt_host(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imports(*arguments: str) -> bool:
    """Whether torch was imported to answer."""
    main = "from delt_host.cli import cli\ncli(standalone_mode=False)"
    check = f"import sys\n{main}\nprint('torch' in sys.modules, file=sys.stderr)"
    done = cold("-c", check, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr.strip() == "True"


def test_an_edited_file_of_a_plugin_is_looked_at_again_and_others_are_not(install: Install, tmp_path: Path) -> None:
    (tmp_path / "my_helper.py").write_text("DEFAULT = 1.0\n")
    install("my-matcher", MATCHER)
    first = say("show", "mine")
    assert "weight: float, default 1.0" in first and say("show", "mine") == first
    assert not imports("show", "mine") and not imports("plugins")
    (tmp_path / "my_helper.py").write_text("DEFAULT = 20.0\n")
    assert "weight: float, default 20.0" in say("show", "mine")
    (tmp_path / "unrelated.py").write_text("x = 1\n")
    assert not imports("show", "mine")


def test_what_is_installed_or_removed_is_seen(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "my-matcher" not in say("plugins")
    (tmp_path / "my_helper.py").write_text("DEFAULT = 1.0\n")
    install("my-matcher", MATCHER)
    (mine,) = [p for p in json.loads(say("plugins", "--json")) if p["name"] == "my-matcher"]
    assert (mine["version"], mine["provides"]) == ("1.2", {"matcher": ["mine"]})
    monkeypatch.delenv("PYTHONPATH")
    assert "my-matcher" not in say("plugins")
    monkeypatch.setenv("DELT_HOST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert all("not loaded" in p["problem"] for p in json.loads(say("plugins", "--json")))


def test_a_broken_plugin_is_tried_again_every_time(install: Install, tmp_path: Path) -> None:
    """What would mend it may lie in no file that was imported."""
    install("my-matcher", MATCHER)
    for _ in range(2):
        assert "No module named 'my_helper'" in say("plugins", "--json")
    (tmp_path / "my_helper.py").write_text("DEFAULT = 1.0\n")
    assert "weight: float, default 1.0" in say("show", "mine")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"surroundings": 1}', b"\xff"])
def test_what_is_kept_may_be_damaged_or_impossible_to_keep(tmp_path: Path, content: bytes) -> None:
    whole = say("show", "delt")
    file = tmp_path / "store" / "catalogue.json"
    file.write_bytes(content)
    assert say("show", "delt") == whole and json.loads(file.read_bytes())
    file.unlink()
    file.mkdir()
    assert say("show", "delt") == whole


def test_the_store_lists_and_prunes_it(tmp_path: Path) -> None:
    say("show", "delt")
    (row,) = json.loads(say("store", "--json"))
    assert row["stage"] == "catalogue" and row["bytes"] > 1000
    assert "0 entries" in say("store", "verify")
    say("store", "prune", "--stage", "catalogue", "--yes")
    assert not (tmp_path / "store" / "catalogue.json").exists()


def test_show_and_plugins_list_what_is_installed() -> None:
    shown = delt_host("show", "early-late").stdout
    assert "round_iterations: int, default 0" in shown and "RI. 0: an eighth" in shown and "source: DELT" in shown
    shown = delt_host("show", "delt").stdout
    assert "initializer: ranked" in shown and "published regime: online:delt-repo" in shown
    shown = delt_host("show", "views").stdout
    assert shown.startswith("regime views\n") and "relabeler: fkd\n  protocol: fair\n" in shown
    assert "did you mean 'early-late'" in delt_host("show", "early-latte").stderr
    listed = json.loads(delt_host("plugins", "--json").stdout)
    delt = next(p for p in listed if p["name"] == "delt")
    assert delt["distribution"] == "delt-host" and delt["provides"]["method"] == ["delt"]


def test_without_a_place_for_a_store_nothing_is_kept(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("my-matcher", MATCHER.replace("from my_helper import DEFAULT", "DEFAULT = 1.0"))
    monkeypatch.delenv("DELT_HOST_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    for _ in range(2):
        assert "weight: float, default 1.0" in say("show", "mine") and "my-matcher" in say("plugins")
    assert not list(Path().iterdir())
