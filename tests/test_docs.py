"""The docs are true: the reference is what the code says, the README's commands exist, every hook is described."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import pkgutil
import re
import shlex
import shutil
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from packaging.version import Version

import delt_host
from commands import python
from conftest import opened
from delt_host import toolbox, workshop
from delt_host.cli.run import command as run_command
from delt_host.contracts.kinds import HOOKS, KINDS
from delt_host.experiment.request import Request, parse_sets
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_plugins.kit import check

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
BENCHMARKS = (ROOT / "benchmarks").glob("*.py")
FUNCTIONS = {"model": "Builder", "report": "Callable[[Path], Path]"}
METADATA = ("delt_host.distilled", "delt_host.history", "delt_host.labels")  # of files, under these keys


def test_what_is_written_from_the_code_is_what_the_code_says() -> None:
    # In a process of its own: commands that were run before may have kept other words for --help.
    code = (
        "import importlib.util, json, sys; spec = importlib.util.spec_from_file_location('generate', sys.argv[1]);"
        "made = importlib.util.module_from_spec(spec); spec.loader.exec_module(made);"
        "print(json.dumps([made.reference(), made.api()]))"
    )
    done = python("-c", code, ROOT / "docs" / "generate.py")
    assert done.returncode == 0, done.stderr
    for page, written in zip(("reference.md", "api.md"), json.loads(done.stdout), strict=True):
        if page == "reference.md" and Version(version("click")) < Version("8.5"):
            continue  # older ones print help in other words
        assert (ROOT / "docs" / page).read_text(encoding="utf-8") == written, "run `make docs`"


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
        assert len(experiment.rows) >= 3 and len(experiment.regimes) >= 1, recipe


def test_every_hook_is_described_with_its_signature() -> None:
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    described = dict(re.findall(r"^### (delt_\w+)\n\n```python\n(.*)\n```$", page, flags=re.MULTILINE))
    assert described.keys() == HOOKS.keys()
    for hook, name in HOOKS.items():
        kind = KINDS[name]
        gives = f"type[{kind.base.__name__}]" if kind.base else kind.value.__name__ if kind.value else FUNCTIONS[name]
        assert described[hook] == f"def {hook}() -> dict[str, {gives}]"


def test_pages_with_cifar10_figures_say_that_their_source_is_jpeg() -> None:
    pages = {page: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "results").glob("cifar10-*.md")}
    pages |= {
        page: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", ROOT / "docs/results/paper-tables.md")
    }
    assert len(pages) > 5
    assert [page.name for page, text in pages.items() if "#the-source-is-jpeg-already" not in text] == []


def test_what_pages_name_is_there() -> None:
    """Files and modules of the house; after the path to a module, one name that it has."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *BENCHMARKS]
    for page in pages:
        text = page.read_text(encoding="utf-8").partition("## What became of")[0]  # which names what is gone
        for found in re.findall(r"\b(?:delt_host|delt_plugins)(?:/[\w.*-]+)+/?", text):
            path = found.rstrip(".")
            assert list(ROOT.glob(path)), f"{page.name} names {found}"
        for found in re.findall(r"\b(?:delt_host|delt_plugins)(?:\.\w+)+", text):
            assert found in ("delt_host.commands", *METADATA) or pkgutil.resolve_name(found), f"{page.name}: {found}"


def test_the_table_of_what_became_of_the_former_host_leads_somewhere() -> None:
    _, _, table = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## What became of")
    now = re.findall(r"`([\w/]+(?:/|\.py))`", "".join(line.split("|")[3] for line in table.splitlines() if "|" in line))
    there = [ROOT / place if place.startswith("delt_plugins/") else ROOT / "delt_host" / place for place in now]
    assert len(now) > 80 and [str(place) for place in there if not place.exists()] == []


def test_every_public_name_says_what_it_is() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").partition("## `delt_host.workshop`")[0]
    assert re.findall(r"^\| (`\w+`) \|  \|", page, flags=re.MULTILINE) == []


def imported_by(file: Path) -> set[str]:
    """The modules of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        found |= {*names, str(node.module)} if isinstance(node, ast.ImportFrom) else {*names}
    return {name for name in found if name.partition(".")[0] in ("delt_host", "delt_plugins")}


def test_a_matcher_takes_sixty_lines_and_public_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples are whole packages' modules, hooks included, and keep the contract."""
    for place, made in (
        ("feature-mean-matcher/feature_mean", "FeatureMean"),
        ("gradient-matcher/gradient_matcher", "Gradients"),
    ):
        file = ROOT / "examples" / f"{place}.py"
        assert len(file.read_text(encoding="utf-8").splitlines()) < 60
        assert imported_by(file) == {"delt_host", "delt_host.toolbox"}
        monkeypatch.syspath_prepend(str(file.parent))
        check(getattr(importlib.import_module(file.stem), made)())


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*/*.py")), ids=lambda file: file.stem)
def test_examples_import_public_names(file: Path) -> None:
    assert imported_by(file) <= {"delt_host", "delt_host.toolbox"}


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


def built(folder: Path) -> CompletedProcess[str]:
    return python("-m", "mkdocs", "build", "--strict", cwd=folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site is made of, with one public name more, and the site."""
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason='the site needs pip install ".[docs]"')
    folder = tmp_path_factory.mktemp("project")
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("docs", "examples", "benchmarks", "delt_host", "delt_plugins"):
        shutil.copytree(ROOT / name, folder / name)
    with (folder / "delt_host" / "__init__.pyi").open("a", encoding="utf-8") as stub:
        stub.write("from delt_host.basics.units import duration as duration\n")
    done = built(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_takes_along_what_pages_link_to_and_fetches_nothing(project: Path) -> None:
    site = project / "site"
    pages = "".join(page.read_text(encoding="utf-8") for page in site.rglob("*.html"))
    styles = "".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))
    fetched = re.findall(r'<(?:script|link|img)[^>]*?(?:src|href)="(?:https?:)?//[^"]*"', pages)
    fetched += re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^\"')]*", styles)
    assert fetched == [], "a reader's browser asks nobody else"
    for page in ("index.html", "CHANGELOG.html", "examples/shapes-dataset/index.html", "benchmarks/plain.py"):
        assert (site / page).is_file(), page


def test_the_site_has_every_public_name_on_a_page_that_the_list_leads_to(project: Path) -> None:
    """Also one that was added to a stub a moment ago, and nowhere else."""
    index = (project / "site" / "api.html").read_text(encoding="utf-8")
    for module in (delt_host, toolbox, workshop):
        names = {*module.HOMES, *(["duration"] if module is delt_host else [])}
        shown = "".join(page.read_text(encoding="utf-8") for page in (project / "site" / "api").glob("*.html"))
        assert [name for name in names if f'id="{module.__name__}.{name}"' not in shown] == []
        leads = re.findall(rf'href="api/[\w-]+\.html#{re.escape(module.__name__)}\.(\w+)"', index)
        assert {*module.HOMES} - {*leads} == set()


def test_a_reader_of_the_site_searches_and_copies_without_a_server(browser: Any, project: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    opened(browser, project / "site" / "index.html")
    wait = WebDriverWait(browser, 60)
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "pre .md-code__button[data-md-type=copy], pre .md-clipboard"))
    field = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    field.click()
    field.send_keys("distance_after")
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '.md-search-result a[href*="toolbox-networks"]'))
    words = [entry["message"] for entry in browser.get_log("browser")]
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {each["params"]["request"]["url"] for each in sent if each["method"] == "Network.requestWillBeSent"}
    assert words == [] and [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


def test_a_link_that_leads_nowhere_fails_the_site(project: Path) -> None:
    """The site's builder knows the pages; what its hook must see are links out of docs/, and anchors."""
    index = project / "docs" / "index.md"
    text = index.read_text(encoding="utf-8")
    links = ("../examples/nothing.py", "concepts.md#nothing", "nothing.md")
    index.write_text("\n".join([text, *(f"[there]({link})" for link in links)]), encoding="utf-8")
    try:
        done = built(project)
    finally:
        index.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert [link for link in links if link.removeprefix("../") not in done.stderr] == [], done.stderr
