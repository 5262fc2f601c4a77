"""Sweeps over runs: which runs they are, their folder, their table, and what is left when something goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest

from commands import MAIN, delt_host, start
from delt_host.basics.errors import InputError
from delt_host.contracts.results import read_results
from delt_host.contracts.sweep import read_sweep
from delt_host.experiment.request import Request, parse_ipc
from delt_host.experiment.resolve import resolve
from delt_host.experiment.sweep import Planned, points
from delt_host.plugins.registry import load_registry
from delt_host.runs import place
from running import TINY, call, contents, refused, whole

REGISTRY = load_registry()
SWEEP = [
    *(word if word != "1" or before != "--ipc" else "1,2" for before, word in zip(["", *TINY], TINY, strict=False))
]
"""`TINY` at one and at two images a class."""


def planned(**said: Any) -> list[Planned]:
    return points(Request(method=["delt"], **said), REGISTRY)


# --- which runs


def test_what_is_no_rows_and_no_regimes_own_is_a_run_for_each_combination() -> None:
    found = planned(
        ipc=[1, 10], dataset=["digits", "cifar10"], set={"teacher.epochs": [1, 5], "scheduler.iterations": [8, 16]}
    )
    assert [each.name for each in found][:3] == [
        "digits-ipc-1-epochs-1",
        "digits-ipc-1-epochs-5",
        "digits-ipc-10-epochs-1",
    ]
    assert len(found) == 8 and found[-1].varied == {"dataset": "cifar10", "ipc": 10, "teacher.epochs": 5}
    request = found[-1].request
    assert (request.dataset, request.ipc) == ("cifar10", 10)
    assert request.set == {"teacher.epochs": 5, "scheduler.iterations": [8, 16]}, "which are rows of each"
    (one,) = planned(ipc=[10], dataset=["digits"], set={"scheduler.iterations": [8, 16]})
    assert (one.name, one.varied, one.request.ipc) == ("", {}, 10)


def test_datasets_are_called_by_where_they_lie(tmp_path: Path) -> None:
    found = planned(dataset=["folder:a/photos", "folder:b/scans", {"name": "digits", "image_size": 8}])
    assert [each.name for each in found] == ["photos", "scans", "digits"]
    same = planned(dataset=["folder:a/photos", "folder:b/photos"])
    assert [each.varied["dataset"] for each in same] == ["folder:a/photos", "folder:b/photos"]
    assert len({each.name for each in same}) == 2
    sizes = planned(set={"dataset.image_size": [8, 16]})
    assert [each.name for each in sizes] == ["image_size-8", "image_size-16"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"ipc": [1, 1]}, "the sweep: ipc has 1 twice"),
        ({"dataset": ["digits", "digits"]}, "the sweep: dataset has .* twice"),
        ({"ipc": []}, "the sweep: ipc has no value"),
        ({"ipc": [*range(1, 50)], "set": {"teacher.epochs": [*range(1, 50)]}}, "are 2,401 combinations; 1,000 at most"),
        ({"dataset": ["digits", "digitz"], "set": {"dataset.image_size": [8, 16]}}, "unknown dataset 'digitz'"),
    ],
)
def test_what_cannot_be_swept_gets_a_sentence(said: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError, match=why):
        planned(**said)


def test_numbers_of_images_are_read_as_seeds_are() -> None:
    assert parse_ipc("10") == 10 and parse_ipc("1, 10,50") == [1, 10, 50]
    for wrong in ("ten", "1,", "", "1.5"):
        with pytest.raises(InputError, match="--ipc must be a whole number"):
            parse_ipc(wrong)


def test_where_one_run_is_meant_a_sweep_is_refused(tmp_path: Path) -> None:
    for said in ({"ipc": [1, 2]}, {"dataset": ["digits", "cifar10"]}):
        with pytest.raises(InputError, match="a sweep over runs, which delt-host run makes; one value is needed here"):
            resolve(Request(method=["delt"], **said), REGISTRY)
    (tmp_path / "two.toml").write_text("ipc = [1, 2]\nmethod = 'delt'")
    assert "one value is needed here" in refused("squeeze", "two.toml")


# --- their folder and their table


@pytest.fixture
def swept(tmp_path: Path) -> Path:
    """The folder of a finished sweep."""
    call(*SWEEP, "--out", "swept")
    return tmp_path / "swept"


def test_each_run_lies_in_a_folder_of_its_own_and_all_are_in_one_table(tmp_path: Path) -> None:
    said = call(*SWEEP, "--out", "swept").split()
    swept = tmp_path / "swept"
    assert [row.ipc for name in ("ipc-1", "ipc-2") for row in whole(swept / name).rows] == [1, 2]
    assert (swept / "ipc-1" / "report.html").is_file()
    assert " ".join(said).count("ipc method role images hard n") == 1, "one table"
    found = read_sweep(swept)
    assert found is not None and [each.varied for each in found.points] == [{"ipc": 1}, {"ipc": 2}]
    assert tomllib.loads((swept / "sweep.toml").read_text())["ipc"] == [1, 2]


def test_the_same_command_goes_on_and_the_recipe_repeats_it(swept: Path, tmp_path: Path) -> None:
    before = {name: content for name, content in contents(swept).items() if not name.endswith(".html")}
    call(*SWEEP, "--out", "swept")
    call("run", "swept", "-q")
    assert {name: content for name, content in contents(swept).items() if not name.endswith(".html")} == before
    call("run", "swept/sweep.toml", "-q", "--out", "again")
    assert read_results(tmp_path / "again/ipc-2").scores == read_results(swept / "ipc-2").scores


def test_a_sweep_grows_by_runs_and_by_rows(swept: Path) -> None:
    former = contents(swept / "ipc-1")["results.json"]
    call("run", "swept", "--ipc", "3", "-q")
    assert (swept / "ipc-3/results.json").is_file() and contents(swept / "ipc-1")["results.json"] == former
    call("run", "swept", "-b", "random-real,initializer=noise", "-q")
    for name in ("ipc-1", "ipc-2", "ipc-3"):
        assert [row.label for row in whole(swept / name).rows] == ["random-real", "random-real (initializer=noise)"]


def test_report_and_runs_read_a_sweeps_folder(swept: Path) -> None:
    found = list(csv.DictReader(io.StringIO(call("report", "swept", "--format", "csv"))))
    assert [(row["run"], row["ipc"], row["method"]) for row in found] == [
        ("ipc-1", "1", "random-real"), ("ipc-2", "2", "random-real"),
    ]  # fmt: skip
    assert json.loads(call("report", "swept", "--json"))[1]["point"] == {"ipc": 2}
    page = call("report", "swept", "--format", "html")
    assert "random-real · ipc-1" in page and '<th scope="col" class="text">ipc</th>' in page
    (listed,) = json.loads(call("runs", ".", "--json"))
    assert (listed["run"], listed["dataset"], listed["rows"]) == ("swept", "ipc 1, 2", "a sweep of 2 runs")
    assert listed["best"].startswith("2 of 2 finished")
    shutil.rmtree(swept / "ipc-2")
    assert "1 of 2 finished" in call("runs", ".", "--json")
    assert len(json.loads(call("report", "swept", "--json"))) == 1
    shutil.rmtree(swept / "ipc-1")
    assert "is the folder of a sweep of which no run is finished" in refused("report", "swept")


def test_who_wants_one_run_names_those_of_the_sweep(swept: Path) -> None:
    for command in (["evaluate", "swept"], ["export", "swept", "--to", "out"]):
        assert "swept is the folder of a sweep; name one of its runs: " in refused(*command)
        assert "swept/ipc-1, " in refused(*command)
    call("evaluate", "swept/ipc-1", "-e", "cost", "-q")
    (swept / "sweep.json").write_text("{")
    assert "sweep.json cannot be read" in refused("report", "swept")
    assert "sweep.json cannot be read" in call("runs", ".", "--json")


def test_other_runs_and_other_sweeps_are_refused_in_its_folder(swept: Path, tmp_path: Path) -> None:
    assert "swept is the folder of a sweep; choose another folder with --out" in refused(*TINY, "--out", "swept")
    fewer = [word if word != "1,2" else "2,3" for word in SWEEP]
    assert "swept is of another sweep: it has ipc-1, and this one has not" in refused(*fewer, "--out", "swept")
    other = [*SWEEP, "--set", "protocol.epochs=2"]
    before = (swept / "sweep.toml").read_text()
    assert "swept/ipc-1 is of another recipe" in refused(*other, "--out", "swept")
    assert (swept / "sweep.toml").read_text() == before
    call(*fewer, "--out", "swept", "--force")
    assert not (swept / "ipc-1").exists() and (swept / "ipc-3/results.json").is_file()
    call(*TINY, "--out", "made")
    assert "made is the folder of a run; choose another folder with --out" in refused(*SWEEP, "--out", "made")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    assert "full is not empty and no run's folder: it has thesis.txt" in refused(*SWEEP, "--out", "full")
    with place.locked(swept):
        assert "another process works in" in refused(*fewer, "--out", "swept")


def test_mistakes_in_any_run_are_told_before_the_first(tmp_path: Path) -> None:
    assert "ipc-0: --ipc must be at least 1" in refused(
        *[word if word != "1,2" else "2,0" for word in SWEEP], "--out", "out"
    )
    assert "unknown dataset 'digitz'" in refused(*TINY, "--dataset", "digits", "--dataset", "digitz", "--out", "out")
    assert not (tmp_path / "out").exists()


def test_json_is_one_list(tmp_path: Path) -> None:
    found = json.loads(call(*SWEEP, "--json", "--out", "swept"))
    assert [(Path(each["folder"]).name, each["point"]) for each in found] == [
        ("ipc-1", {"ipc": 1}),
        ("ipc-2", {"ipc": 2}),
    ]
    assert all(each["format"] == 1 for each in found)


# --- what goes wrong


def test_a_run_that_fails_leaves_the_others(tmp_path: Path) -> None:
    done = delt_host(*[word if word != "1,2" else "1,1000,2" for word in SWEEP], "--out", "swept", cwd=tmp_path)
    assert done.returncode == 1
    assert "ipc-1000: --ipc 1000 is more than class" in done.stderr and "what did not fail is complete" in done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if "random-real" in line][:2] == ["1", "2"]
    assert not (tmp_path / "swept/ipc-1000").exists() and (tmp_path / "swept/ipc-2/results.json").is_file()


def test_an_interrupt_prints_what_is_finished_and_the_same_command_goes_on(tmp_path: Path) -> None:
    code = (
        "from delt_host.stages import story\nimport os, signal\nmake = story.prepare_run\n"
        "def stop(of, *a, **k):\n"
        "    if of.ipc == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return make(of, *a, **k)\n"
        "story.prepare_run = stop\n"
    )
    stopped = start("-c", code + MAIN[1], *SWEEP, "--out", "swept", cwd=tmp_path, env=dict(os.environ))
    out, errors = stopped.communicate(timeout=300)
    assert stopped.returncode == 128 + signal.SIGINT, errors
    assert next(line.split()[0] for line in out.splitlines() if "random-real" in line) == "1"
    former = (tmp_path / "swept/ipc-1/results.json").read_bytes()
    call(*SWEEP, "--out", "swept")
    assert (tmp_path / "swept/ipc-2/results.json").is_file()
    assert (tmp_path / "swept/ipc-1/results.json").read_bytes() == former


def test_a_dry_run_counts_what_runs_share_once(tmp_path: Path) -> None:
    small = ["-m", "cda", "--no-controls", "--seeds", "1", "--regime", "hard", "--set", "dataset.image_size=8"]
    small += ["--set", "scheduler.iterations=8"]
    lines = json.loads(call("run", *small, "--ipc", "1,2", "-q", "--dry-run", "--json"))["steps"]
    squeezed = [(line["what"], line["state"]) for line in lines if line["stage"] == "squeeze"]
    assert squeezed == [("ipc-1: convnet3", "missing"), ("ipc-2: convnet3", "shared")]
    assert [line["seconds"] > 0 for line in lines if line["stage"] == "squeeze"] == [True, False]
    assert not (tmp_path / "runs").exists()
