"""The docs are true: the reference is what the code says, the README's commands exist, every hook is described."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from commands import python
from delt_host import hookspecs
from delt_host.cli.run import command as run_command
from delt_host.plugins import load_registry
from delt_host.request import Request, parse_sets
from delt_host.resolve import resolve

ROOT = Path(__file__).parents[1]


def test_the_reference_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == module.reference(), "run `make docs`"


def test_the_readme_opens_with_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install . && delt-host run --method delt --baseline cda" in readme[:1500]
    assert 'pip install ".[test]" && pytest' in readme[:1500]


def commands_of(page: str) -> list[list[str]]:
    """The `delt-host run` commands of a page, as arguments."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("delt-host run")]


def test_every_ablation_of_the_paper_is_reachable_by_its_command() -> None:
    registry, commands = load_registry(), commands_of("ablations.md")
    assert len(commands) == 10
    for arguments in commands:
        given = run_command.make_context("run", list(arguments)).params
        lists = {name: list(given[name]) for name in ("method", "baseline")}
        experiment = resolve(Request(**lists, set=parse_sets(given["sets"]), regime=list(given["regime"])), registry)
        distinct = {str(row.stages()) for row in experiment.rows}
        assert len(distinct) == len(experiment.rows), arguments


def test_the_recipes_of_the_results_can_be_run(tmp_path: Path) -> None:
    for recipe in (ROOT / "docs" / "results").glob("*.toml"):
        experiment = resolve(
            Request.from_recipe(recipe).updated(Request(dataset=f"folder:{tmp_path}")), load_registry()
        )
        assert len(experiment.rows) >= 4 and len(experiment.regimes) >= 1, recipe


def test_every_hook_is_in_the_plugin_guide() -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("delt_")]
    assert hooks
    assert [name for name in hooks if f"`{name}`" not in guide] == []


def test_every_evaluator_and_relabeler_has_its_place_in_the_guide() -> None:
    guide, registry = (ROOT / "docs" / "evaluators.md").read_text(encoding="utf-8"), load_registry()
    ours = [
        (kind, name)
        for kind in ("evaluator", "relabeler")
        for name in registry.names(kind)
        if registry.provider(kind, name).plugin.distribution == "delt-host"
    ]
    assert [name for kind, name in ours if f"| `{name}` |" not in guide and name != "committee"] == []
    assert [
        name for kind, name in ours if kind == "evaluator" and not re.search(rf"^## .*\b{name}\b", guide, re.M)
    ] == []


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_a_link_that_leads_nowhere_fails_the_site(tmp_path: Path) -> None:
    """The site's builder knows the pages; what its hook must see are links out of docs/, and anchors."""
    pytest.importorskip("mkdocs", reason='the site needs pip install ".[docs]"')
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docs", "examples", "benchmarks", "delt_host"):
        shutil.copytree(ROOT / name, tmp_path / name)

    def built() -> CompletedProcess[str]:
        return python("-m", "mkdocs", "build", "--strict", cwd=tmp_path)

    done = built()
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    pages = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    fetched = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="(?:https?:)?//[^"]*"', pages)
    assert fetched == [], "a reader's browser asks nobody else"
    for page in ("index.html", "CHANGELOG.html", "examples/shapes-dataset/index.html", "benchmarks/plain.py"):
        assert (site / page).is_file(), page
    index = tmp_path / "docs" / "index.md"
    text = index.read_text(encoding="utf-8")
    links = ("../examples/nothing.py", "concepts.md#nothing", "nothing.md")
    index.write_text("\n".join([text, *(f"[there]({link})" for link in links)]), encoding="utf-8")
    done = built()
    assert done.returncode == 1
    assert [link for link in links if link.removeprefix("../") not in done.stderr] == [], done.stderr
