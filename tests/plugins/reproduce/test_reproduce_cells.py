"""Cells that are really run: kept, grown, merged between machines, and said to be missing."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from test_reproduce import OWN, RATIO, invoke, own_table

from commands import delt_host
from conftest import lend, lines_of
from delt_host.basics.errors import InputError
from delt_plugins.reproduce.command import shareable


@pytest.fixture(scope="module")
def first(primed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell of the test's own table, measured for seed 0."""
    root = tmp_path_factory.mktemp("reproduce")
    lend(primed, root / "store", "squeeze")
    own_table(root)
    done = reproduce(root, "own.toml", "--ipc", "2", "--only", "DELT", "--out", "one")
    (root / "out.txt").write_text(done)
    return root


def reproduce(root: Path, *arguments: object, code: int = 0) -> str:
    """`delt-host reproduce` in the folder, with its own store; its standard output and error, one after the other."""
    environment = {**os.environ, "DELT_HOST_STORE": str(root / "store"), "COLUMNS": "200"}
    done = delt_host("reproduce", *arguments, "--precision", "fp32", cwd=root, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))]


COMPUTING = ("initialize", "recover", "relabel", "evaluate", "squeeze")


def computed(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith(COMPUTING)]
    return [line for line in lines if not line.endswith("from the store")]


def test_a_cell_is_measured_beside_the_published_figure(first: Path) -> None:
    (record,) = records(first / "one")
    assert record["cell"] == {"dataset": "digits", "ipc": 2, "method": "DELT"}
    assert (record["iterations"], record["epochs"]) == (16, 4)
    assert record["regime"] == "online:delt-paper: labels online, protocol delt-paper v1 (epochs=4)"
    (seed,) = record["seeds"].values()
    assert 0 < seed["score"] <= 100 and seed["score"] == seed["scores"]["top1"]
    assert seed["command"].startswith("delt-host reproduce") or seed["command"]
    assert seed["machine"]["versions"]["torch"] and seed["date"] and seed["data"] and seed["teacher"]["fingerprint"]
    output = (first / "out.txt").read_text()
    for text in (f"{seed['score']:.1f}", "40.0", "published (cited)", "one seed", "delt-paper v1 (epochs=4)"):
        assert text in output, (text, output)


def test_the_score_is_that_of_the_host_itself(first: Path) -> None:
    """The same settings through `delt-host run`, found in the same store."""
    environment = {**os.environ, "DELT_HOST_STORE": str(first / "store")}
    done = delt_host(
        "run", "-m", "delt,scheduler.phases=round", "--no-controls", "--ipc", 2, "--seeds", "1",
        "--regime", "online:delt-paper", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set",
        "scheduler.iterations=16", "--set", "protocol.epochs=4", "--precision", "fp32", "--teacher", "convnet3",
        "--control", "random-real", "--out", "run", cwd=first, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = lines_of(first / "run")["delt (scheduler.phases=round)"]
    (record,) = records(first / "one")
    assert line.headline[0] == record["seeds"]["0"]["score"]
    assert "recover delt (scheduler.phases=round), seed 0: from the store" in done.stderr


def test_a_table_grows_and_what_is_finished_is_not_run_again(first: Path) -> None:
    shutil.copytree(first / "one", first / "grown")
    again = reproduce(first, "own.toml", "--ipc", "2", "--only", "DELT", "--out", "grown")
    assert computed(again) == [] and "finished, in" in again
    reproduce(first, "own.toml", "--ipc", "2", "--out", "grown", "--seeds", "2")
    delt, real = records(first / "grown")
    assert delt["seeds"].keys() == real["seeds"].keys() == {"0", "1"}
    assert delt["seeds"]["0"] == records(first / "one")[0]["seeds"]["0"]
    shown = invoke("results", "show", first / "grown")
    assert "DELT" in shown and "0,1" in shown and "random" in shown
    assert json.loads(invoke("results", "show", first / "grown", "--json"))[0]["seeds"] == delt["seeds"]
    assert "| DELT" in invoke("results", "show", first / "grown", "--markdown")


def test_a_smaller_scale_says_that_it_cannot_be_compared(first: Path) -> None:
    """And workers do it."""
    asked = ["own.toml", "--ipc", "2", "--only", "DELT", "--scale", "cpu", "--workers", "2"]
    output = reproduce(first, *asked, "--out", "small")
    assert "by 2 workers" in output and "evaluate delt, seed 0, convnet3: from the store" in output
    assert "NOT COMPARABLE" in output and "iterations of recovery 8, epochs of students 2" in output
    (record,) = records(first / "small")
    assert (record["iterations"], record["epochs"]) == (8, 2)
    assert "NOT COMPARABLE" not in (first / "out.txt").read_text()


def test_what_the_user_changes_is_said(first: Path) -> None:
    output = reproduce(
        first, "own.toml", "--only", "random", "--ipc", "2", "--out", "changed", "--set", "protocol.epochs=2"
    )
    assert "Not as the table says, by the command: protocol.epochs=2" in output


def test_results_of_several_machines_merge(first: Path) -> None:
    reproduce(first, "own.toml", "--ipc", "2", "--only", "DELT", "--out", "other", "--seeds", "1,")
    assert list(records(first / "other")[0]["seeds"]) == ["1"]
    output = invoke("results", "merge", first / "one", first / "other", "--out", first / "both")
    assert "1 cells with 2 seeds from 2 folders" in output
    (both,) = records(first / "both")
    expected = {**records(first / "one")[0]["seeds"], **records(first / "other")[0]["seeds"]}
    assert both["seeds"] == expected
    # What is in the folder already is kept, and the same again changes nothing.
    shutil.copytree(first / "other", first / "there")
    invoke("results", "merge", first / "one", first / "one", "--out", first / "there")
    assert records(first / "there")[0]["seeds"] == expected


def test_a_conflict_is_told_and_nothing_chosen(first: Path) -> None:
    shutil.copytree(first / "one", first / "wrong")
    (path,) = (first / "wrong").glob("*/*.json")
    record = json.loads(path.read_text())
    mine = record["seeds"]["0"]["score"]
    record["seeds"]["0"]["score"] = mine + 1
    path.write_text(json.dumps(record))
    done = delt_host("results", "merge", first / "one", first / "wrong", "--out", first / "merged")
    assert done.returncode == 2 and "nothing was written" in done.stderr and "--prefer" in done.stderr
    assert f"{mine:.4g} in" in done.stderr and f"{mine + 1:.4g} in" in done.stderr and "seed 0" in done.stderr
    assert not (first / "merged").exists()
    invoke("results", "merge", first / "one", first / "wrong", "--out", first / "merged", "--prefer", first / "wrong")
    assert records(first / "merged")[0]["seeds"]["0"]["score"] == mine + 1
    with pytest.raises(InputError, match="is none of the folders"):
        invoke("results", "merge", first / "one", "--out", first / "merged", "--prefer", first / "wrong")


def test_other_data_are_kept_apart(first: Path) -> None:
    shutil.copytree(first / "one", first / "elsewhere")
    (path,) = (first / "elsewhere").glob("*/*.json")
    path.write_text(path.read_text().replace(records(first / "one")[0]["seeds"]["0"]["data"], "f" * 64))
    output = reproduce(first, "own.toml", "--ipc", "2", "--only", "DELT", "--out", "elsewhere", "--seeds", "2", code=2)
    assert "measured on other data than digits" in output and "--out" in output


def test_a_ratio_is_taken_seed_by_seed(first: Path) -> None:
    """EarlyLate at IPC 10 in eight rounds takes 0.6375 of the constant schedule's image-iterations."""
    own_table(first, RATIO, "ratio.toml")
    output = reproduce(first, "ratio.toml", "--scale", "paper", "--seeds", "2", "--out", "ratio")
    (record,) = records(first / "ratio")
    assert [seed["score"] for seed in record["seeds"].values()] == [0.6375, 0.6375]
    assert record["per"] == "cda" and "divided by that of cda" in output and "agrees" in output


def test_missing_data_are_one_sentence_and_the_other_cells_run(first: Path) -> None:
    both = OWN.replace('dataset = "digits"\nipc = [1, 2]', 'dataset = ["cifar10", "digits"]\nipc = 2')
    both = both.replace('method = ["DELT", "random"]', 'method = "random"')
    both = both.replace('published = [[30.0, "?"], [40.0, 95.0]]', "published = [1.0, 95.0]")
    both = both.replace('"dataset.image_size" = 8, ', "")
    assert tomllib.loads(both)["grid"][0]["dataset"] == ["cifar10", "digits"]
    own_table(first, both, "both.toml")
    dry = reproduce(first, "both.toml", "--out", "missing", "--dry-run")
    for text in (
        "hours of work left on cpu",
        "missing",
        "cell: no cifar10: ",
        "--dataset cifar10=folder:PATH",
        "iB in all",
    ):
        assert text in dry, (text, dry)
    assert "teacher convnet3: not in the store, 4 epochs of squeezing come first for cifar10" in dry
    assert not (first / "missing").exists()
    output = reproduce(first, "both.toml", "--out", "missing", "--set", "teacher.epochs=4", code=2)
    assert "not all cells could be run: no cifar10: " in output and "not run yet" in output
    (record,) = records(first / "missing")
    assert record["cell"]["dataset"] == "digits"


def test_a_record_does_not_say_where_its_machine_keeps_things() -> None:
    typed = [
        "reproduce",
        "/home/me/my.toml",
        "--dataset",
        "cifar10=folder:/data/cifar10/",
        "--set",
        "teacher.model=a/b",
        "--out",
        "x/y",
    ]
    told = "delt-host reproduce my.toml --dataset cifar10=folder:cifar10 --set teacher.model=a/b --out x/y"
    assert shareable(typed) == told
