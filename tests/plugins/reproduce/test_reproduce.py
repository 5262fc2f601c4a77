"""The paper's tables: every cell resolves, cells run, are kept, grow and merge, and what agrees is said."""

from __future__ import annotations

import json
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import ROOT
from delt_host.basics.errors import InputError
from delt_host.cli import cli
from delt_host.compare.lines import Summary
from delt_host.contracts.dataset import RealData
from delt_host.plugins.registry import Registry, load_registry
from delt_plugins.kit import random_teacher
from delt_plugins.reproduce.agreement import agreement
from delt_plugins.reproduce.cell import Mine, trial, trials
from delt_plugins.reproduce.command import command as reproduce_command
from delt_plugins.reproduce.records import CellFolder, CellRecord, SeedRecord, by_number, merge, record_of
from delt_plugins.reproduce.table import PaperTable, Published, load_table, select, shipped

TABLES = [f"table{number}" for number in range(1, 13)] + ["figure2", "figure8", "figure12"]

GUIDE = ROOT / "docs" / "reproduce.md"

OWN = """
title = "A table of the test's own"
source = "the test"
axes = ["dataset", "ipc", "method"]
readings = ["delt-paper"]

[scale.paper]
seeds = 1

[scale.cpu]
seeds = 1
iterations = 0.5
epochs = 0.5

[defaults]
student = "convnet3"
teacher = "convnet3"
set = { "dataset.image_size" = 8, "teacher.epochs" = 4, "protocol.epochs" = 4 }

[axis.method]
DELT = { method = "delt", set = { "scheduler.iterations" = 16 } }
random = { method = "random-real" }

[[grid]]
dataset = "digits"
ipc = [1, 2]
method = ["DELT", "random"]
published = [[30.0, "?"], [40.0, 95.0]]
"""
RATIO = """
title = "The cost of recovery"
source = "the test"
axes = ["method"]
readings = ["delt-repo"]

[defaults]
dataset = "digits"
ipc = 10
teacher = "convnet3"
evaluator = "cost"
score = "image-iterations"
per = "cda"
set = { "dataset.image_size" = 8, "teacher.epochs" = 4, "scheduler.iterations" = 16 }

[axis.method]
DELT = { method = "delt" }

[[grid]]
method = "DELT"
published = 0.6375
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


def own_table(folder: Path, text: str = OWN, name: str = "own.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def invoke(*arguments: object) -> str:
    """A command that reads only, in this process; InputError is raised."""
    return CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False).output


# --- the shipped tables


def test_the_list_names_every_table_and_figure() -> None:
    assert shipped() == TABLES
    output = invoke("reproduce", "--list")
    assert [name for name in TABLES if name not in output] == []


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_resolves_in_every_reading_at_every_scale(name: str, registry: Registry) -> None:
    table = load_table(name)
    by_scale = {
        scale: trials(table, table.cells, table.file.readings, scale, Mine(), registry) for scale in ("paper", "cpu")
    }
    for full, small in zip(by_scale["paper"], by_scale["cpu"], strict=True):
        assert (
            small.experiment.regimes[0].protocol.component.epochs
            <= full.experiment.regimes[0].protocol.component.epochs
        )
        assert len(small.experiment.seeds) < len(full.experiment.seeds) == 3
        for before, after in zip(full.experiment.rows, small.experiment.rows, strict=True):
            if before.scheduler is not None and after.scheduler is not None:
                share = after.scheduler.component.iterations / before.scheduler.component.iterations  # type: ignore[attr-defined]
                assert share == pytest.approx(0.1, rel=0.01)
        scores = full.score, full.experiment.evaluators[0].component.headline
        assert [column.relabeler.name for column in full.experiment.regimes] == ["online"] and all(scores)
        paths = [record_of(one, "").path for one in by_scale["paper"]]
        assert len(set(paths)) == len(paths)


def figure(table: str, *place: object) -> float | None:
    (cell,) = [cell for cell in load_table(table).cells if tuple(cell.place.values()) == place]
    return cell.published.mean if cell.published else None


def test_published_figures_stand_at_their_cells() -> None:
    assert figure("table1", "cifar10", 10, "resnet18", "DELT") == 43.0
    assert figure("table1", "imagenet", 50, "resnet101", "DELT") == 66.1
    assert figure("table1", "imagenette", 50, "mobilenet_v2", "RDED") == 80.0
    assert figure("table1", "imagenet", 100, "resnet101", "RDED") is None
    assert figure("table2", "imagenet100", 50, "RDED") == 50.2
    assert figure("table3", "CDA + start", "4x4") == 56.7
    assert figure("table4", "4c", "imagenet", "T 4K, RI 500") == 46.42
    assert figure("table5", "regnet_y_8gf", "DELT") == 57.5
    assert figure("table7", 50, "RDED") == 42.8
    assert figure("table12", 0.2) == 67.3
    cell = load_table("table1").cells[0]
    assert cell.published and "Table 1" in cell.published.source and cell.published.std is None


def test_the_two_readings_differ_as_paper_and_code_do(registry: Registry) -> None:
    table = load_table("table1")
    (cell,) = select(table, ["cifar10", "ipc=10", "student=resnet18", "DELT"])
    paper, code = trials(table, [cell], ["delt-paper", "delt-repo"], "paper", Mine(), registry)
    assert [one.experiment.regimes[0].protocol.component.schedule for one in (paper, code)] == ["cosine", "half-cosine"]
    phases = [one.experiment.rows[0].scheduler.component.phases for one in (paper, code)]  # type: ignore[union-attr]
    assert phases == ["round", "global"]
    assert paper.digest != code.digest
    (start,) = select(table, ["cifar10", "ipc=10", "student=resnet18", "RDED"])
    assert trial(table, start, "delt-paper", "paper", Mine(), registry).experiment.rows[0].scheduler is None


def test_a_cell_is_told_what_it_names_what_its_reading_says_or_what_its_method_published(
    registry: Registry, tmp_path: Path
) -> None:
    text = OWN.replace("random = {", 'G-VBSM = { method = "gvbsm" }\nrandom = {').replace('"random"]', '"G-VBSM"]')
    text = text.replace("[scale.paper]", "[reading.published]\n\n[scale.paper]")
    table = load_table(str(own_table(tmp_path, text)))
    said = ("delt-paper", "published", "hard", "fixed:fair")
    found = trials(table, select(table, ["ipc=1"]), said, "paper", Mine(), registry)
    assert [[column.name.split(",")[0] for column in one.experiment.regimes] for one in found] == [
        ["online:delt-paper"], ["online:delt-repo"], ["hard"], ["fixed:fair"],
        ["online:delt-paper"], ["committee:gvbsm"], ["hard"], ["fixed:fair"],
    ]  # fmt: skip
    named = load_table(str(own_table(tmp_path, OWN.replace("[defaults]", '[defaults]\nregime = "views"'))))
    assert trial(named, named.cells[0], "delt-paper", "paper", Mine(), registry).experiment.regimes[0].name == "views"


def test_ablations_change_what_they_are_of(registry: Registry) -> None:
    def options(name: str, stage: str, option: str) -> list[Any]:
        table = load_table(name)
        return [
            getattr(one.experiment.rows[0].stages()[stage].component, option)
            for one in trials(table, table.cells, ["delt-repo"], "paper", Mine(), registry)
        ]

    assert options("table10", "initializer", "order") == ["random", "ascending", "descending", "median-out"]
    assert options("table11", "initializer", "selection") == ["random", "lowest", "highest", "medium"]
    assert options("table3", "initializer", "patches") == [2, 3, 4, 5] * 3
    table = load_table("table12")
    found = trials(table, table.cells, ["delt-paper"], "paper", Mine(), registry)
    assert [one.experiment.regimes[0].protocol.component.min_crop for one in found] == [0.08, 0.2, 0.5, 0.8]


def test_ones_own_data_take_the_place_of_the_tables(registry: Registry, tmp_path: Path) -> None:
    table = load_table("table1")
    (cell,) = select(table, ["cifar10", "ipc=10", "student=resnet18", "DELT"])
    theirs = trial(table, cell, "delt-repo", "paper", Mine(), registry)
    mine = trial(table, cell, "delt-repo", "paper", Mine(datasets={"cifar10": f"folder:{tmp_path}"}), registry)
    folder = mine.experiment.dataset.component.model_dump()
    assert (folder["path"], folder["published"]) == (str(tmp_path), "cifar10")
    assert mine.experiment.regimes[0].protocol.component.randaugment == "m5-n4"
    assert mine.digest == theirs.digest  # where the data lie is no setting
    with pytest.raises(InputError, match="unknown dataset of table1 'cifar'; did you mean 'cifar10'"):
        trials(table, [cell], ["delt-repo"], "paper", Mine(datasets={"cifar": "folder:x"}), registry)


def test_a_teacher_from_a_file_is_known_by_its_weights(registry: Registry, digits: RealData, tmp_path: Path) -> None:
    teacher = random_teacher(digits)
    for place in ("a", "b"):
        teacher.save(tmp_path / f"{place}.safetensors")
    table = load_table("table4")
    (cell,) = select(table, ["4d", "cifar10", "DELT"])
    given = [
        trial(table, cell, "delt-repo", "cpu", Mine(teachers={key: (str(tmp_path / name),)}), registry)
        for key, name in (("cifar10", "a.safetensors"), ("", "b.safetensors"))
    ]
    assert given[0].digest == given[1].digest
    assert given[0].settings["teacher"] == [{"fingerprint": teacher.fingerprint}]
    assert given[0].changed == ("teacher a.safetensors",)
    # A teacher that is pretrained in the table leaves its options behind.
    (cell,) = select(table, ["4d", "imagenet", "DELT"])
    trial(table, cell, "delt-repo", "paper", Mine(teachers={"": (str(tmp_path / "a.safetensors"),)}), registry)


# --- wrong input

BROKEN = [
    ("published = [[30.0, \"?\"], [40.0, 95.0]]", "published = [[30.0], [40.0]]", "grid 1.published must have 2 figures"),
    ("published = [[30.0, \"?\"], [40.0, 95.0]]", "published = [30.0, 40.0]", "grid 1.published must have 2 figures"),
    ("[40.0, 95.0]", "[40.0, \"many\"]", "grid 1.published.figure must be"),
    ("ipc = [1, 2]", "ipcs = [1, 2]", "grid 1 says nothing of the axis 'ipc'"),
    ("[\"DELT\", \"random\"]", "[\"DELT\", \"DELT\"]", "has the cell 'digits, ipc 1, DELT' twice"),
    ("axes = [\"dataset\", \"ipc\", \"method\"]", "axes = [\"dataset\", \"ipc\", \"methods\"]", "the axis 'methods'"),
    ("student = \"convnet3\"", "studnet = \"convnet3\"", "has no option 'defaults.studnet'"),
    ("seeds = 1", "seeds = 0", "scale.paper.seeds must be greater than 0"),
    ("title = ", "titel = ", "own.toml.title must be given"),
    ("axes = [", "axes = [[", "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), BROKEN)
def test_a_broken_table_file_is_named_with_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in OWN
    path = own_table(tmp_path, OWN.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load_table(str(path))
    assert said in str(error.value) and "own.toml" in str(error.value), error.value


WRONG = [
    (["table13"], "unknown table 'table13'; did you mean 'table"),
    (["nowhere.toml"], "the table nowhere.toml cannot be read"),
    ([], "name a table"),
    (["table1", "--only", "cifar"], "unknown value of table1 'cifar'; did you mean 'cifar10'?"),
    (["table1", "--only", "datset=cifar10"], "unknown axis of table1 'datset'; did you mean 'dataset'?"),
    (["table1", "--only", "method=DELTA"], "unknown method of table1 'DELTA'; did you mean 'DELT'?"),
    (["table1", "--student", "resnet8"], "unknown student of table1 'resnet8'; did you mean 'resnet18'?"),
    (["table1", "--ipc", "11"], "unknown ipc of table1 '11'"),
    (["table2", "--student", "resnet18"], "unknown axis of table2 'student'"),
    (["table1", "--only", "imagenet", "--ipc", "1"], "table1 has no cell with imagenet and ipc=1 together"),
    (["table1", "--scale", "cpus"], "unknown scale 'cpus'; did you mean 'cpu'?"),
    (["table1", "--reading", "delt-papers"], "unknown reading 'delt-papers'; did you mean 'delt-paper'?"),
    (["table1", "--dataset", "cifar10"], "--dataset 'cifar10' is not of the form NAME=VALUE"),
    (["table1", "--set", "scheduler.iteratons=8"], "has an option 'iteratons'; did you mean 'iterations'?"),
    (["table12", "--teacher", "gone.safetensors"], "gone.safetensors"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_names_get_the_nearest_right_one(arguments: list[str], said: str) -> None:
    with pytest.raises(InputError) as error:
        invoke("reproduce", *arguments)
    assert said in str(error.value), error.value


# --- agreement


@pytest.mark.parametrize(
    ("mean", "std", "published", "verdict", "allowed"),
    [
        (40.0, 1.0, Published(mean=41.9, std=0.0), "agrees", 2.0),
        (40.0, 1.0, Published(mean=42.1, std=0.0), "lower", 2.0),
        (44.0, 1.0, Published(mean=41.9, std=0.0), "higher", 2.0),
        (40.0, 3.0, Published(mean=50.0, std=4.0), "agrees", 10.0),
        (40.0, 1.0, Published(mean=42.8, std=None), "agrees", 2 * math.sqrt(2)),
        (40.0, 1.0, Published(mean=42.9, std=None), "lower", 2 * math.sqrt(2)),
    ],
)
def test_agreement_is_twice_the_root_of_both_spreads(
    mean: float, std: float, published: Published, verdict: str, allowed: float
) -> None:
    found = agreement(Summary(mean, std, 3), published)
    assert found is not None and found.verdict == verdict
    assert found.allowed == pytest.approx(allowed) and found.difference == pytest.approx(mean - published.mean)
    assert found.assumed == (published.std is None)


def test_one_seed_has_no_spread_to_judge_by_and_nothing_cited_is_not_judged() -> None:
    one = agreement(Summary.of([40.0]), Published(mean=40.0, std=1.0))
    assert one is not None and one.verdict == "one seed"
    assert agreement(Summary.of([40.0, 41.0]), None) is None
    assert agreement(Summary.of([]), Published(mean=40.0, std=1.0)) is None


# --- files of results


def made(table: PaperTable, registry: Registry, **seeds: float) -> CellRecord:
    record = record_of(trial(table, table.cells[0], "delt-repo", "paper", Mine(), registry), "a title")
    return record.model_copy(
        update={"seeds": {int(name[1:]): SeedRecord(score=score) for name, score in seeds.items()}}
    )


def test_seeds_that_two_processes_add_are_both_kept(tmp_path: Path, registry: Registry) -> None:
    folder, stale = CellFolder(tmp_path), made(load_table("table9"), registry)
    folder.add(stale, 0, SeedRecord(score=1.0))
    folder.add(stale, 1, SeedRecord(score=2.0))  # by one that has not seen the other's
    (record,) = folder.records()
    assert {seed: measured.score for seed, measured in record.seeds.items()} == {0: 1.0, 1: 2.0}


def test_merging_keeps_cells_apart_and_joins_seeds(tmp_path: Path, registry: Registry) -> None:
    a, b = CellFolder(tmp_path / "a"), CellFolder(tmp_path / "b")
    nine, twelve = load_table("table9"), load_table("table12")
    a.write(made(nine, registry, s0=1.0, s1=2.0))
    b.write(made(nine, registry, s1=2.0, s2=3.0))
    b.write(made(twelve, registry, s0=9.0))
    merged, conflicts = merge([a, b])
    assert conflicts == []
    assert {record.table: sorted(record.seeds) for record in merged} == {"table12": [0], "table9": [0, 1, 2]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "must be a table of options"),
        ('{"table": "table1"}', "must be given"),
        ("format", "has format 2"),
        ("digest", "digest"),
    ],
)
def test_a_damaged_result_is_named(tmp_path: Path, registry: Registry, content: str, said: str) -> None:
    record = made(load_table("table9"), registry, s0=1.0).model_dump(mode="json")
    changed = {"format": {**record, "format": 2}, "digest": {**record, "digest": "../../up"}}
    path = tmp_path / "results" / "table9" / "cell.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(changed[content]) if content in changed else content)
    with pytest.raises(InputError) as error:
        invoke("results", "show", tmp_path / "results")
    assert said in str(error.value) and "cell.json" in str(error.value)


def test_no_results_is_said() -> None:
    with pytest.raises(InputError, match="there is no folder of results at results"):
        invoke("results", "show")


def test_the_guide_s_table_file_is_one(tmp_path: Path, registry: Registry) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.M | re.S)
    table = load_table(str(own_table(tmp_path, example)))
    found = trials(table, table.cells, table.file.readings, "cpu", Mine(), registry)
    assert [one.cell.published.mean for one in found if one.cell.published] == [67.7, 67.7, 68.2, 68.2]
    assert found[0].experiment.rows[0].initializer.component.selection == "random"  # type: ignore[attr-defined]


def test_the_guide_s_commands_are_read(registry: Registry) -> None:
    text = "".join(re.findall(r"^```\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), flags=re.M | re.S))
    lines = [shlex.split(line, comments=True)[2:] for line in text.splitlines() if line.startswith("delt-host repro")]
    assert len(lines) == 6
    for arguments in lines:
        given = reproduce_command.make_context("reproduce", list(arguments)).params
        if given["table"]:
            assert select(load_table(given["table"]), given["only"])


def test_cells_are_in_the_order_of_their_numbers() -> None:
    names = [f"table1/cifar10_{ipc}_resnet18.json" for ipc in (1, 2, 10, 50, 100)]
    assert sorted(map(Path, reversed(names)), key=by_number) == [*map(Path, names)]


def test_the_tables_of_the_results_can_be_run(registry: Registry) -> None:
    paths = sorted((ROOT / "docs" / "results" / "tables").glob("*.toml"))
    assert paths
    for path in paths:
        table = load_table(str(path))
        assert len(trials(table, table.cells, ["fair"], "cpu", Mine(), registry)) == len(table.cells)


def test_the_results_that_are_kept_can_be_drawn_again() -> None:
    """Each of its figures on the results page is that of a file beside it."""
    page = (ROOT / "docs" / "results" / "paper-tables.md").read_text(encoding="utf-8")
    records = CellFolder(ROOT / "docs" / "results" / "cells").records()
    assert records
    for record in records:
        assert f"| {record.summary.mean:.{1 if record.unit else 3}f} |" in page, record.name
