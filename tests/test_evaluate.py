"""`delt-host evaluate`: the sets of a finished run under other evaluators, without distilling again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from delt_host.cli import cli
from delt_host.errors import InputError

RUN = [
    "run", "-m", "delt", "-b", "cda", "--ipc", "2", "--seeds", "2", "--no-controls", "--set", "dataset.image_size=8",
    "--set", "teacher.epochs=4", "--set", "scheduler.iterations=16", "--set", "protocol.epochs=2", "-q", "--out", "made",
]  # fmt: skip


def call(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_finished_run_is_scored_by_others_even_where_the_store_has_lost_its_images(tmp_path: Path) -> None:
    call(*RUN)
    plain = {
        line["label"]: line["scores"] for line in json.loads((tmp_path / "made/results.json").read_text())["lines"]
    }
    for stage in ("recover", "start", "labels", "scores"):
        shutil.rmtree(tmp_path / "store" / stage)
    output = call("evaluate", "made", "-e", "student", "-e", "diversity", "--set", "evaluator.real_images=50")
    assert "similarity (lower is better)" in " ".join(output.split()) and "recover delt" not in output
    results = json.loads((tmp_path / "made/evaluations/student-diversity/results.json").read_text())
    again = {line["label"]: line["scores"] for line in results["lines"] if line["score"] == "top1"}
    assert again == plain, "the same images, labels and students as in the run"
    similar = {line["label"]: line["summary"]["mean"] for line in results["lines"] if line["score"] == "similarity"}
    assert set(similar) == {"delt", "cda"} and all(0 < value < 1 for value in similar.values())
    assert not (tmp_path / "store" / "recover").exists(), "nothing was distilled"
    page = (tmp_path / "made/evaluations/student-diversity/report.html").read_text(encoding="utf-8")
    assert 'id="images"' in page and 'id="starts"' in page, "an evaluation's page shows the run's images"

    call("evaluate", "made", "--student", "wrn_16_2", "--relabeler", "hard", "-q")
    results = json.loads((tmp_path / "made/evaluations/student/results.json").read_text())
    assert {line["labels"] for line in results["lines"]} == {"hard"}
    assert results["lines"][0]["evaluator"] == "wrn_16_2"


def test_mistakes_are_named(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        with pytest.raises(InputError) as caught:
            CliRunner().invoke(cli, ["evaluate", *arguments], catch_exceptions=False)
        return str(caught.value)

    assert "nowhere is not the folder of a run" in said("nowhere")
    call(*RUN)
    assert "did you mean 'diversity'" in said("made", "-e", "diversty")
    (tmp_path / "made/cda/seed-1/distilled.safetensors").unlink()
    assert "no distilled set at made/cda/seed-1/distilled.safetensors" in said("made", "-e", "diversity")
    assert "images of 8 px, digits of 16 px" in said("made", "-e", "diversity", "--set", "dataset.image_size=16")
