"""`delt-host export` on a run: its labels, its card, mistakes, and the page that describes it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import DatasetCard
from safetensors import safe_open

from conftest import ROOT, lines_of, make_problem
from delt_host import Batch, InputError
from delt_host.cli import cli
from delt_host.contracts.protocol import Fair
from delt_host.contracts.results import RESULTS_FILE, read_results
from delt_host.contracts.teacher import Teacher
from delt_plugins import publish

pytestmark = pytest.mark.long


def call(*arguments: object) -> str:
    result = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def said(*arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    return str(caught.value)


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


def test_a_run_is_exported_with_its_labels_and_its_card_says_what_was_measured(small_run: Path, tmp_path: Path) -> None:
    output = call("export", "made", "--to", "out", "--labels", "--row", "cda", "--seed", "1", "--license", "cc-by-4.0")
    assert "cda, seed 1, 20 images as images" in output and "soft labels of 3 epochs" in output
    loaded = publish.load("out")
    original = publish.load(small_run / "cda" / "seed-1")
    assert torch.equal(loaded.pixels, original.pixels) and loaded.about == original.about
    assert loaded.soft_labels is not None
    head = DatasetCard((tmp_path / "out" / "README.md").read_text(encoding="utf-8")).data
    facts = head.distillation
    assert head.license == "cc-by-4.0" and head.task_categories == ["image-classification"]
    assert (facts["method"], facts["seed"], facts["images_per_class"], facts["image_size"]) == ("cda", 1, 2, 8)
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert facts["labels"] == {
        "relabeler": {"name": "fkd"}, "bytes": loaded.soft_labels.size_bytes, "epochs": 3, "stored": True,
    }  # fmt: skip
    line = lines_of(small_run)["cda"]
    assert [(score["regime"], score["protocol"].split(" v")[0]) for score in facts["measured"]] == [
        ("hard", "dsa"),
        ("views", "fair"),
    ]
    score = facts["measured"][-1]
    assert score["by_seed"] == {"0": line.headline[0], "1": line.headline[1]}
    assert (score["mean"], score["std"], score["n"]) == (line.summary.mean, line.summary.std, 2)
    assert facts["cost"]["image_iterations"] == line.row.cost.image_iterations

    call("evaluate", "made", "-e", "diversity", "-q", "--set", "evaluator.real_images=50")
    call("export", "made", "--to", "again", "-q", "--format", "safetensors")
    head = DatasetCard((tmp_path / "again" / "README.md").read_text(encoding="utf-8")).data
    assert [score["score"] for score in head.distillation["measured"]] == ["top1", "top1", "similarity"]
    assert head.distillation["labels"]["stored"] is False and "configs" not in head.to_dict()

    call("export", "out", "--to", "copied", "--format", "webdataset", "-q")
    copied = publish.load("copied")
    assert copied.soft_labels is not None
    pairs = zip(copied.loader(2), loaded.loader(2), strict=True)
    assert all(same(one, other) for one, other in pairs)


def test_what_was_given_little_of_its_published_budget_is_marked_on_the_card(small_run: Path, tmp_path: Path) -> None:
    path = small_run / RESULTS_FILE
    results = json.loads(path.read_text(encoding="utf-8"))
    row = next(row for row in results["rows"] if row["label"] == "cda")
    # The set itself is marked where all of its regimes are.
    for iterations, marked in ((0.5, ["views"]), (0.1, ["hard", "views"])):
        row |= {"of": "cda", "share_of_iterations": iterations, "shares_of_steps": {"hard": 1.0, "views": 0.03}}
        path.write_text(json.dumps(results), encoding="utf-8")
        call("export", "made", "--to", f"out-{iterations}", "--row", "cda", "-q", "--format", "safetensors")
        text = (tmp_path / f"out-{iterations}" / "README.md").read_text(encoding="utf-8")
        table = [line.split(" | ") for line in text.splitlines() if line.startswith("| convnet3 |")]
        assert [cells[1] for cells in table if cells[4].endswith(" % †")] == marked
        assert ("distilled by cda †" in text) is (len(marked) == 2)
        measured = DatasetCard(text).data.distillation["measured"]
        assert [(each["of"], each["share_of_iterations"], each["share_of_steps"]) for each in measured] == [
            ("cda", iterations, 1.0),
            ("cda", iterations, 0.03),
        ]
        short = "10 % of cda's iterations; 3 % of its" if iterations < 0.2 else "3 % of cda's"
        assert f"no figure of the published method: cda ({short} students' steps under views)." in text


def test_exported_labels_are_those_that_the_runs_students_saw(small_run: Path, tmp_path: Path) -> None:
    """A student trained by the loader alone, as the evaluator trains it, gets the same score to the last digit."""
    from delt_host.training.students import train_student
    from delt_plugins.datasets.digits import Digits

    shutil.rmtree(tmp_path / "store" / "labels")  # made anew by the same teacher
    call("export", "made", "--to", "out", "--labels", "-q")
    loaded = publish.load("out")
    assert loaded.soft_labels is not None
    results = read_results(small_run)
    (measured,) = (score for score in results.scores if (score.row, score.set, score.regime) == ("delt", 0, "views"))

    class Replayed:
        kind, learning_rate = "logits", None

        def epoch(self, number: int) -> Iterator[Batch]:
            yield from loaded.loader(number)

    teacher = Teacher("convnet3", {}, loaded.class_names, *(tuple(v) for v in vars(loaded.normalization).values()), 8)  # type: ignore[arg-type]
    problem = make_problem(Digits(image_size=8).load(), teacher, ipc=2).under(Fair(**loaded.soft_labels.protocol))
    from delt_host.basics.compute import Compute

    problem = replace(problem, compute=Compute.choose("cpu", results.recipe["precision"]))
    assert train_student(problem, Replayed(), "convnet3").last == measured.scores["last"]


def test_a_run_is_exported_on_another_machine(small_run: Path, tmp_path: Path) -> None:
    call("squeeze", "made/experiment.toml", "--out", "teacher.safetensors", "-q")
    recipe = small_run / "experiment.toml"
    recipe.write_text(recipe.read_text().replace('device = "cpu"', 'device = "cuda:7"'))
    call("export", "made", "--to", "images", "-q")
    there = ["export", "made", "--labels", "--store", "empty", "-q", "--device", "cpu"]
    call(*there, "--to", "labelled", "--teacher", "teacher.safetensors")
    assert not (tmp_path / "empty" / "squeeze").exists()
    labels = publish.load("labelled").soft_labels
    assert labels is not None and labels.epochs == 3

    call("squeeze", "--set", "dataset.image_size=8", "--set", "teacher.epochs=4", "--set", "teacher.seed=1", "-q")
    message = said(*there, "--to", "other", "--teacher", "convnet3.teacher.safetensors")
    assert "the labels would be another teacher's" in message and not (tmp_path / "other").exists()


def test_mistakes_are_named(small_run: Path, tmp_path: Path) -> None:
    assert "did you mean 'delt'" in said("export", "made", "--to", "out", "--row", "delta")
    assert "its seeds are 0, 1" in said("export", "made", "--to", "out", "--seed", "7")
    assert "no distilled set at" in said("export", "nowhere", "--to", "out")
    assert "has no soft labels; give the run's folder" in said("export", "made/delt/seed-0", "--to", "out", "--labels")
    assert "--row and --seed have no place" in said("export", "made/delt/seed-0", "--to", "out", "--seed", "0")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("mine")
    assert "exists already" in said("export", "made", "--to", "there")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said("export", "made", "--to", "file/out")
    (small_run / "delt" / "seed-0" / "distilled.safetensors").write_bytes(b"no")
    assert "cannot be read" in said("export", "made", "--to", "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))


def test_the_page_on_the_artifact_does_what_it_says(tmp_path: Path) -> None:
    """Its commands and snippets, one after the other, on a run of the size of its example."""
    call(
        "run", "-m", "delt", "--ipc", "2", "--seeds", "2", "--no-controls", "--set", "teacher.epochs=4", "--set",
        "scheduler.iterations=16", "--set", "protocol.epochs=3", "-q", "--out", "runs/first",
    )  # fmt: skip
    page = (ROOT / "docs" / "artifact.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks].count("python") >= 4
    names: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        for language, text in blocks:
            if language == "python":
                exec(compile(text, "docs/artifact.md", "exec"), names)
                continue
            for line in text.splitlines() if language != "text" else ():  # of what is not here
                call(*shlex.split(line)[1:])
    assert list(lines_of(Path("runs/imported/evaluations/student"))) == ["published"]
    imported, exported = publish.load("runs/imported/published/seed-0"), publish.load("digits-delt")
    assert torch.equal(imported.pixels, exported.pixels)
    fields = exported.soft_labels.blocks[0].header.model_dump() if exported.soft_labels else {}
    assert [name for name in fields if f"`{name}`" not in page] == []
    with safe_open("digits-delt/labels-0000.safetensors", "pt") as file:
        assert [name for name in file.keys() if f"`{name}`" not in page] == []  # noqa: SIM118
