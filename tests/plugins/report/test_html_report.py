"""The page of a real run: what it holds, that it is alone and escaped, and that a browser sorts and enlarges."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from conftest import lend, opened
from delt_host.basics.errors import InputError, RunError
from delt_host.cli import cli
from delt_host.compare.answers import answers
from delt_host.compare.lines import lines
from delt_host.contracts.results import read_results
from delt_host.recovery.history import averaged, load_history
from delt_host.runs.distilled import load
from delt_plugins.report.images import ENCODINGS, Picture, encode
from delt_plugins.report.page import render_page
from delt_plugins.report.settings import differing

pytestmark = pytest.mark.long

HOSTILE = """"><script>alert('1')</script>"""
PLUGIN = """
from delt_host import Matcher, hookimpl
import torch

class Failing(Matcher):
    def bind(self, problem):
        return lambda views: {"loss": (views.images * float("nan")).sum().view(1)}

class Named(Matcher):
    say: str = ""
    "Nothing of use."

    def bind(self, problem):
        return lambda views: {"<b>energy</b>": views.images.square().mean().view(1)}

@hookimpl
def delt_matchers():
    return {"failing": Failing, "named": Named}
"""


@pytest.fixture(scope="module")
def run(primed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two seeds of DELT and CDA on the digits, a row whose matcher fails, and one of a hostile option."""
    root = tmp_path_factory.mktemp("report")
    lend(primed, root / "store", "squeeze")
    info = root / "plugin" / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[delt_host]\nhostile = hostile_plugin\n")
    (root / "plugin" / "hostile_plugin.py").write_text(PLUGIN)
    sys.path.insert(0, str(root / "plugin"))
    arguments = [
        "run", "-m", "delt", "-b", "cda", "-b", "cda,matcher=failing", "-b", f"cda,matcher=named,matcher.say={HOSTILE}",
        "--ipc", "2",
        "--seeds", "2", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "scheduler.iterations=16",
        "--set", "protocol.epochs=4", "--set", "protocol.evaluate_every=2", "--precision", "fp32", "-q",
        "--store", str(root / "store"), "--out", str(root / "run"),
    ]  # fmt: skip
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, RunError) and "failing" in str(result.exception), result.output
    assert "report.html" in result.output
    yield root / "run"
    sys.path.remove(str(root / "plugin"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """The page's elements, as (tag, attributes)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_has_every_section_in_order_and_what_the_run_found(run: Path, page: str) -> None:
    places = [page.index(f'<h2 id="{name}">') for name in (
        "answer", "scores", "accuracy", "cost", "by-class", "curves", "images", "starts", "settings", "repeat",
    )]  # fmt: skip
    assert places == sorted(places)
    found = lines(read_results(run))
    assert sum(len(line.differences) for line in found) == 2 * (4 + 3), (
        "the method to all that did not fail, these to one"
    )
    said = answers(read_results(run))
    assert any(each.startswith("hard: ") for each in said) and all(each in unescape(page) for each in said)
    assert "convnet3, hard, top-1 (%)" in page and "convnet3, views, top-1 (%)" in page
    assert page.count("</strong> failed: ") == 1, "a reason is told once"
    for line in found:
        assert all(difference.sentence in unescape(page) for difference in line.differences)
        if line.summary.n:
            assert f"{line.summary.mean:.1f} ± {line.summary.std:.1f}" in page
    assert "term 'loss' became nan" in unescape(page) and page.count("why it failed") == 2 and "nan to" not in page
    assert "16 → 14 iterations" in page and "<dd>delt-host" in page and "delt-host run experiment.toml" in page


def test_the_images_are_those_of_the_set_in_the_order_of_optimisation(run: Path, page: str) -> None:
    history = load_history(run / "delt/seed-0/history.safetensors")
    assert history.iterations.tolist() == [16, 14] * 10 and history.images.tolist() == list(range(20))
    cda = load_history(run / "cda/seed-0/history.safetensors")
    assert cda.iterations.tolist() == [16] * 20 and set(cda.curves[0].terms) == {"cross-entropy", "mean", "variance"}
    start, made = load(run / "delt-start/seed-0/distilled.safetensors"), load(run / "delt/seed-0/distilled.safetensors")
    assert torch.equal(history.start, start.pixels), "the zero-iteration control is where DELT starts"
    alts = [image["alt"] for image in Elements(page).of("img")]
    assert "delt, 3, image 1 of 2, 16 iterations" in alts and "random-real, 3, image 2 of 2, not optimised" in alts
    assert "cda, 3, image 1 of 2, 16 iterations: as it started" in alts
    (shown,), encoding = encode([Picture(made.pixels[0], "")], 10_000)
    assert not encoding.quality and page.count(shown) == 2, "in the grid and in its pair, without loss"


def test_the_page_is_alone_small_and_refuses_the_network(page: str) -> None:
    assert len(page.encode()) < 2_000_000
    elements = Elements(page)
    for tag, attributes in elements.found:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (tag, attributes)
    assert not elements.of("link") and "@import" not in page and not re.search(r"https?:", page)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    policy = next(m["content"] for m in elements.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'") and "http" not in policy


def test_ten_images_of_ten_classes_at_imagenet_size_stay_within_the_budget() -> None:
    noise = torch.randint(0, 256, (10, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    addresses, encoding = encode([Picture(noise[place % 10], "") for place in range(60)], 1_000_000)
    assert sum(map(len, addresses)) < 1_400_000 and encoding in ENCODINGS[1:] and "px" in encoding.words


def test_what_files_and_plugins_say_is_escaped(run: Path, page: str, tmp_path: Path) -> None:
    assert len(Elements(page).of("script")) == 1 and HOSTILE not in page and "<b>energy" not in page
    assert escape("<b>energy</b>") in page
    hostile = Elements(render_page([with_hostile_classes(run, tmp_path / "copy")]))
    assert len(hostile.of("script")) == 1 and not any(name.startswith("on") for _, a in hostile.found for name in a)
    assert any("<script>alert(2)</script>" in (image["alt"] or "") for image in hostile.of("img"))


def with_hostile_classes(run: Path, copy: Path) -> Path:
    """The run's folder with the class 3 renamed to what would be a script, and 4 to text that is no Unicode."""
    shutil.copytree(run, copy)
    names = {"3": "<script>alert(2)</script>", "4": "$\\frac{\udcff\x00' onload='alert(3)"}
    results = json.loads((copy / "results.json").read_text())
    for score in results["scores"]:
        found = score["facts"].get("per_class", {})
        score["facts"]["per_class"] = {names.get(name, name): value for name, value in found.items()}
    (copy / "results.json").write_text(json.dumps(results))
    for file in copy.rglob("distilled.safetensors"):
        made = load(file)
        replace(made, class_names=tuple(names.get(name, name) for name in made.class_names)).save(file)
    return copy


def call(*arguments: Any) -> str:
    result = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_runs_and_their_evaluations_are_joined_and_old_folders_rendered_again(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for file in other.rglob("history.safetensors"):
        file.unlink()
    assert call("report", run, other, "--format", "html", "--out", tmp_path / "joined" / "both.html") == ""
    both = (tmp_path / "joined" / "both.html").read_text(encoding="utf-8")
    assert "delt · run" in both and "delt · other" in both and "Before and after" in both
    call("report", other, "--format", "html", "--out", tmp_path / "old.html")
    old = (tmp_path / "old.html").read_text(encoding="utf-8")
    assert 'id="images"' in old and 'id="starts"' not in old and "iterations: as it started" not in old
    for folder in other.glob("*/seed-*"):
        shutil.rmtree(folder)
    results = read_results(other)
    facts = results.model_copy(update={"scores": tuple(s.model_copy(update={"facts": {}}) for s in results.scores)})
    facts.write(other)
    bare = render_page([other])
    assert 'id="images"' not in bare and 'id="curves"' not in bare and 'id="scores"' in bare


def test_what_cannot_be_read_is_said(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "delt/seed-0/history.safetensors").write_bytes(b"nothing")
    assert "history.safetensors cannot be read" in render_page([copy])
    results = json.loads((copy / "results.json").read_text())
    (copy / "results.json").write_text(json.dumps(results | {"rows": [{"label": 1}]}))
    with pytest.raises(InputError, match=r"results.json.rows.0.label"):
        render_page([copy])
    with pytest.raises(InputError, match="is not the folder of a run"):
        render_page([tmp_path / "nothing"])
    with pytest.raises(InputError, match="cannot be written"):
        call("report", run, "--format", "html", "--out", run / "results.json" / "page.html")


def test_only_what_differs_is_listed() -> None:
    rows = [{"a": {"name": "x", "n": 1, "only": 2}}, {"a": {"name": "y", "n": 1}}, {}]
    assert differing(rows) == {"a.name": ["x", "y", "–"]}
    assert differing([{"a": {"n": [1]}}, {"a": {"n": [2]}}, {}]) == {"a.n": ["[1]", "[2]", "–"]}


def test_curves_of_groups_are_averaged_where_they_were_logged_alike() -> None:
    made = averaged(
        [{"iteration": [0, 5], "l": [1.0, 2.0]}, {"iteration": [0, 5], "l": [3.0, 6.0]}, {"iteration": [0], "l": [9.0]}]
    )
    assert [(curve.groups, curve.terms["l"]) for curve in made] == [(2, [2.0, 4.0]), (1, [9.0])]


def test_a_browser_loads_it_without_a_word_or_a_request_and_runs_no_script_of_others(
    browser: Any, run: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "hostile.html"
    hostile.write_bytes(render_page([with_hostile_classes(run, tmp_path / "copy")]).encode("utf-8", "replace"))
    for file in (run / "report.html", hostile):
        opened(browser, file)  # an alert would make the next call fail
        assert browser.execute_script("return document.scripts.length") == 1
        assert browser.get_log("browser") == []
        events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        assert asked and {url.partition(":")[0] for url in asked} <= {"file", "data"}
        assert not browser.execute_script("return [...document.images].some((image) => !image.naturalWidth)")
    text = browser.execute_script("return document.body.textContent")
    assert "<script>alert(2)</script>" in text and HOSTILE in text


def test_tables_sort_by_click_and_by_key(browser: Any, run: Path) -> None:
    opened(browser, run / "report.html")
    by, keys = selenium_names()
    headings = browser.find_elements(by.CSS_SELECTOR, "table.sortable thead th")
    place = next(nth for nth, each in enumerate(headings) if "top-1" in str(each.get_attribute("textContent")))
    heading = headings[place]
    under_hard = [line for line in lines(read_results(run)) if line.column == "hard"]
    means = [line.summary.mean if line.summary.n else None for line in under_hard]

    def column() -> list[float | None]:
        first = browser.find_elements(by.CSS_SELECTOR, "table.sortable")[0]
        cells = first.find_elements(by.CSS_SELECTOR, f"tbody tr td:nth-child({place + 1})")
        return [float(value) if (value := cell.get_attribute("data-value")) else None for cell in cells]

    assert column() == means and heading.get_attribute("aria-sort") == "none"
    heading.find_element(by.TAG_NAME, "button").click()
    scored = sorted(mean for mean in means if mean is not None)
    assert column() == [*reversed(scored), None] and heading.get_attribute("aria-sort") == "descending"
    browser.switch_to.active_element.send_keys(keys.ENTER)
    assert column() == [*scored, None] and heading.get_attribute("aria-sort") == "ascending", (
        "the failed row stays last"
    )
    other = browser.find_elements(by.CSS_SELECTOR, "table.sortable thead th button")[0]
    other.send_keys(keys.SPACE)
    assert heading.get_attribute("aria-sort") == "none" and column() != [*scored, None]


def test_images_enlarge_by_mouse_and_by_keyboard(browser: Any, run: Path) -> None:
    opened(browser, run / "report.html")
    by, keys = selenium_names()
    dialog = browser.find_element(by.TAG_NAME, "dialog")
    tiles = browser.find_elements(by.CSS_SELECTOR, ".class:first-child .tile")

    def focused() -> Any:
        return browser.execute_script("return document.activeElement.querySelector('img')?.alt")

    tiles[1].click()
    large = dialog.find_element(by.TAG_NAME, "img")
    assert dialog.is_displayed() and large.get_attribute("alt") == "delt, 0, image 2 of 2, 14 iterations"
    assert large.size["width"] > 300 and large.value_of_css_property("image-rendering") == "pixelated"
    browser.switch_to.active_element.send_keys(keys.ESCAPE)
    assert not dialog.is_displayed() and focused() == "delt, 0, image 2 of 2, 14 iterations"
    browser.switch_to.active_element.send_keys(keys.ARROW_LEFT)
    assert focused() == "delt, 0, image 1 of 2, 16 iterations"
    browser.switch_to.active_element.send_keys(keys.ARROW_DOWN)
    browser.switch_to.active_element.send_keys(keys.ENTER)
    assert dialog.is_displayed() and large.get_attribute("alt") == "cda, 0, image 1 of 2, 16 iterations"
    browser.switch_to.active_element.send_keys(keys.ARROW_RIGHT)
    assert large.get_attribute("alt") == "cda, 0, image 2 of 2, 16 iterations"
    dialog.find_element(by.TAG_NAME, "button").click()
    assert not dialog.is_displayed() and focused() == "cda, 0, image 2 of 2, 16 iterations"
    assert (
        browser.execute_script("return document.querySelectorAll('.class .tile:not([tabindex=\"-1\"])').length") == 10
    )


def selenium_names() -> tuple[Any, Any]:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    return By, Keys


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_contrast_is_enough(browser: Any, run: Path, width: int, scheme: str) -> None:
    opened(browser, run / "report.html", width, scheme)
    assert browser.execute_script("const page = document.documentElement; return page.scrollWidth <= page.clientWidth")
    style = "const all = getComputedStyle(document.documentElement); return (name) => all.getPropertyValue(name)"
    names = ["--paper", "--raised", "--ink", "--muted", "--accent", "--bad", *(f"--series-{n}" for n in range(8))]
    values = browser.execute_script(f"return arguments[0].map((() => {{ {style} }})())", names)
    colours = dict(zip(names, map(str.strip, values), strict=True))
    assert (luminance(colours["--paper"]) > 0.5) == (scheme == "light")
    for name in ("--ink", "--muted", "--accent", "--bad"):
        assert contrast(colours[name], colours["--paper"]) >= 4.5, name
    for number in range(8):
        assert contrast(colours[f"--series-{number}"], colours["--paper"]) >= 3, number
    drawn = "getComputedStyle(document.querySelector('#accuracy ~ .figures svg text')).fill"
    red, green, blue = map(int, re.findall(r"\d+", browser.execute_script(f"return {drawn}"))[:3])
    assert f"#{red:02x}{green:02x}{blue:02x}" in (colours["--ink"], colours["--muted"]), "figures follow the scheme"


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
