"""A small real problem: the handwritten digits at 8 px, four of a class, a ConvNet-3 with random weights as teacher."""

from __future__ import annotations

import os
import shutil
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from commands import ONE_THREAD, delt_host

os.environ.update(ONE_THREAD)  # two processes share two cores; before torch reads it

import torch

from delt_host.basics.compute import Compute
from delt_host.compare.lines import Line, lines
from delt_host.contracts.dataset import RealData
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.results import read_results
from delt_host.contracts.teacher import Teacher
from delt_host.store.code_identity import GROUP
from delt_plugins.datasets.plugin import delt_datasets
from delt_plugins.desk import housekeeping
from delt_plugins.kit import random_teacher
from delt_plugins.networks.plugin import delt_models

TESTS = Path(__file__).parent
ROOT = TESTS.parent
FP32 = Compute("cpu", "fp32")
DATASETS = delt_datasets()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first: begun last, one would be waited for with a processor idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session")
def digits() -> RealData:
    return DATASETS["digits"](image_size=8).load()


@pytest.fixture(scope="session")
def teacher(digits: RealData) -> Teacher:
    return random_teacher(digits)


def make_problem(data: RealData, teacher: Teacher, ipc: int = 4, seed: int = 0, **protocol: object) -> Problem:
    settings = Protocol(**{"epochs": 3, **protocol})  # type: ignore[arg-type]
    return Problem(data, (teacher,), ipc, seed, settings, FP32, models=delt_models())


@pytest.fixture
def problem(digits: RealData, teacher: Teacher) -> Problem:
    return make_problem(digits, teacher)


SQUEEZED = ["--set", "dataset.image_size=8", "--set", "teacher.epochs=4"]
"""The digits at 8 px and their teacher, as small as runs are compared with."""
SMALL_RUN = [
    "run", "-m", "delt", "-b", "cda", "--ipc", "2", "--seeds", "2", "--no-controls", *SQUEEZED, "--set",
    "scheduler.iterations=16", "--set", "protocol.epochs=3", "-q", "--out", "made",
]  # fmt: skip


@pytest.fixture(scope="session")
def primed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a `store`, which has the teacher in both precisions, and the small run `made`: once for a whole test run.

    Its files are lent as hard links, so that nobody may write into one; whether somebody did is checked at the end.
    """
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "primed"
    with FileLock(place.with_suffix(".lock")):
        if not place.is_dir():
            making = place.with_name("priming")
            shutil.rmtree(making, ignore_errors=True)  # of a process that failed
            making.mkdir()
            environment = {**os.environ, "DELT_HOST_STORE": str(making / "store")}
            fp32 = ["squeeze", *SQUEEZED, "--precision", "fp32", "-q", "--out", "fp32.safetensors"]
            for arguments in (SMALL_RUN, fp32):
                done = delt_host(*arguments, cwd=making, env=environment)
                assert done.returncode == 0, done.stderr
            making.rename(place)
    yield place
    assert list(housekeeping.damaged(place / "store")) == [], "a test wrote into the store that is lent to all"


def lend(primed: Path, to: Path, stages: str = "*") -> None:
    """Put the primed store's entries, or those of one stage, into the store `to`."""
    for stage in (primed / "store").glob(stages):
        if stage.is_dir() and not stage.name.startswith("."):
            shutil.copytree(stage, to / stage.name, copy_function=os.link)


@pytest.fixture
def with_teacher(primed: Path, tmp_path: Path, _own_store: None) -> None:
    """The test's store has the small teacher already."""
    lend(primed, tmp_path / "store", "squeeze")


@pytest.fixture
def small_run(primed: Path, tmp_path: Path, _own_store: None) -> Path:
    """The folder of a finished run of DELT and CDA under two seeds, `made` in the working folder; its store is the test's."""
    lend(primed, tmp_path / "store")
    return Path(shutil.copytree(primed / "made", tmp_path / "made"))


def lines_of(run: Path) -> dict[str, Line]:
    """What a run found, by label; of several evaluators the last one's."""
    return {line.row.label: line for line in lines(read_results(run))}


class Install(typing.Protocol):
    def __call__(self, distribution: str, source: str, version: str = "1.2") -> None: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a distribution with one plugin module, as pip would leave it on the path, which is the test's folder."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(distribution: str, source: str, version: str = "1.2") -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{distribution} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return make


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's store or working folder."""
    monkeypatch.setenv("DELT_HOST_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _global_rng_untouched() -> object:
    """Nothing we do may draw from or move torch's global generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state was moved"


BROWSER_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium without a head, which writes down every request and every word on its console."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*BROWSER_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


def opened(browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> Any:
    """The browser with a page from a file, its logs begun anew."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(file.resolve().as_uri())
    return browser
