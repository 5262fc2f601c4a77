"""results.json, format 1: its schema, what is in it, that it is read back as it was written, and who is refused."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import types
from importlib.resources import files
from pathlib import Path

import pydantic
import pytest
from click.testing import CliRunner
from packaging.version import Version

from conftest import ROOT, Install
from delt_host.basics.errors import InputError, RunError
from delt_host.cli import cli
from delt_host.compare.lines import lines
from delt_host.contracts.results import FORMAT, Results, Score, read_results


@pytest.fixture(scope="module")
def generate() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_shipped_schema_and_the_page_are_what_the_models_say(generate: types.ModuleType) -> None:
    shipped = (files("delt_host.contracts") / f"results-format-{FORMAT}.schema.json").read_text(encoding="utf-8")
    if Version(pydantic.VERSION) >= Version("2.11"):  # older ones say the same in other words
        assert shipped == generate.schema(), "run `make docs`"
    page = (ROOT / "docs" / "results-format.md").read_text(encoding="utf-8")
    assert page == generate.results_format(), "run `make docs`"
    records = [json.loads(shipped), *json.loads(shipped)["$defs"].values()]
    fields = [field for record in records for field in record["properties"].items()]
    said = [(name, field.get("description") or "$ref" in str(field)) for name, field in fields]
    assert len(said) > 60 and [name for name, description in said if not description] == []
    assert [name for name, _ in said if f"| `{name}` |" not in page] == []


def test_a_run_is_what_the_schema_says_and_is_read_back_as_it_was_written(small_run: Path, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason='schemas are checked with pip install ".[test]"')
    schema = json.loads(
        (ROOT / "delt_host" / "contracts" / f"results-format-{FORMAT}.schema.json").read_text(encoding="utf-8")
    )
    written = json.loads((small_run / "results.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(written, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**written, "scores": [{**written["scores"][0], "set": -1}]}, schema)

    results = read_results(small_run)
    assert results.table() == written
    results.write(tmp_path)
    assert read_results(tmp_path) == results
    assert (tmp_path / "results.json").read_bytes() == (small_run / "results.json").read_bytes()


def test_records_name_each_other_and_lie_flat(small_run: Path, tmp_path: Path) -> None:
    results = read_results(small_run)
    assert (results.format, results.recipe["seeds"]) == (1, [0, 1])
    assert [(row.label, row.role, row.form, row.ipc, row.units, row.count) for row in results.rows] == [
        ("delt", "method", "pixels", 2, 2, 2), ("cda", "baseline", "pixels", 2, 2, 2),
    ]  # fmt: skip
    places = [(s.row, s.regime, s.evaluator, s.set, s.student, s.split) for s in results.scores]
    assert sorted(places) == sorted(
        (row, regime, "convnet3", n, 0, "test")
        for row in ("delt", "cda")
        for n in (0, 1)
        for regime in ("hard", "views")
    )
    for score in results.scores:
        assert (tmp_path / "store" / "evaluate" / score.key).is_file(), "the key leads to the store"
        assert score.label_bytes > 0 and score.recover_seconds and set(score.scores) == {"top1", "last", "best"}
    for difference in results.differences:
        assert (difference.row, difference.other, difference.sets, difference.students) == ("delt", "cda", 2, 1)
    means = {(line.row.label, line.column): line.summary.mean for line in lines(results)}
    told = {difference.regime: difference.mean for difference in results.differences}
    assert told == {name: pytest.approx(means["delt", name] - means["cda", name]) for name in ("hard", "views")}
    assert [(regime.name, regime.relabeler["name"]) for regime in results.regimes] == [
        ("hard", "hard"),
        ("views", "fkd"),
    ]
    assert all(row.cost.multiply_adds for row in results.rows) and results.teachers[0].accuracy
    assert results.environment.versions["delt-host"] and "delt" in {plugin.name for plugin in results.plugins}


def test_what_is_no_number_is_null_and_odd_facts_are_written() -> None:
    odd = {"nan": math.nan, "list": (1, math.inf), 3: Path("here"), "table": {"x": -math.inf}}
    score = Score(row="delt", evaluator="x", set=0, scores={"top1": math.nan}, facts=odd, recover_seconds=math.nan)
    assert (score.scores, score.recover_seconds) == ({"top1": None}, None)
    assert score.facts == {"nan": None, "list": [1, None], "3": "here", "table": {"x": None}}
    assert Score.model_validate_json(score.model_dump_json()) == score


def test_a_newer_field_is_left_out_and_a_newer_format_refused(small_run: Path) -> None:
    file, results = small_run / "results.json", read_results(small_run)
    file.write_text(json.dumps({**results.table(), "mood": "good"}))
    assert read_results(small_run) == results
    for table, said in (
        ({**results.table(), "format": 2}, "is of results format 2; this delt-host reads up to 1: update it"),
        ({**results.table(), "scores": [{}]}, r"results.json.scores.0.row must be given"),
        ([], "cannot be read: it is no table"),
    ):
        file.write_text(json.dumps(table))
        with pytest.raises(InputError, match=said) as caught:
            read_results(small_run)
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)


FAILING = """
from delt_host import Evaluation, Evaluator, hookimpl

class Failing(Evaluator):
    headline = "top1"
    @property
    def title(self):
        return "failing"
    def evaluate(self, problem, distilled, taught):
        if problem.seed:
            raise ValueError("no luck")
        return Evaluation({"top1": 1.0, "nan": float("nan")})

class Wordy(Failing):
    def evaluate(self, problem, distilled, taught):
        return Evaluation({"top1": "good"})

@hookimpl
def delt_evaluators():
    return {"failing": Failing, "wordy": Wordy}
"""


def test_a_row_that_fails_has_one_record_for_each_evaluator_as_any_other(small_run: Path, install: Install) -> None:
    install("my-failing", FAILING)
    arguments = ["evaluate", "made", "-e", "student", "-e", "failing", "-e", "diversity", "-q", "--regime", "views"]
    result = CliRunner().invoke(cli, [*arguments, "--set", "evaluator.real_images=50", "--out", "out"])
    assert isinstance(result.exception, RunError) and "failed: cda, delt" in str(result.exception)
    results: Results = read_results(Path("out"))
    titles = ["convnet3", "failing", "diversity in teacher features"]
    places = [(s.row, s.set, s.evaluator) for s in results.scores]
    assert sorted(places) == sorted((row, n, title) for row in ("delt", "cda") for n in (0, 1) for title in titles)
    failed = {(s.set, s.evaluator) for s in results.scores if s.failure}
    assert failed == {(1, "failing")}, "what came before was scored, the sets themselves first"
    assert all("evaluator failing of my-failing 1.2" in s.failure and not s.scores for s in results.scores if s.failure)
    assert [s.scores["nan"] for s in results.scores if s.evaluator == "failing" and not s.failure] == [None, None]
    for line in lines(results):
        assert line.summary.n == (1 if line.evaluator.title == "failing" else 2) and line.provenance == "measured"
        assert len(line.failures) == (line.summary.n == 1)


def test_a_score_that_is_no_number_fails_the_row_and_not_the_run(small_run: Path, install: Install) -> None:
    install("my-failing", FAILING)
    result = CliRunner().invoke(cli, ["evaluate", "made", "-e", "wordy", "-q", "--out", "out"])
    assert isinstance(result.exception, RunError) and "failed: cda, delt" in str(result.exception)
    (said,) = {score.failure for score in read_results(Path("out")).scores}
    assert (
        said.endswith("its scores are not all numbers: {'top1': 'good'}")
        and "evaluator wordy of my-failing 1.2" in said
    )


def test_evaluators_of_one_title_are_refused(small_run: Path) -> None:
    with pytest.raises(InputError, match="two evaluators are both 'convnet3' in the table; leave one out"):
        CliRunner().invoke(cli, ["evaluate", "made", "-e", "student", "-e", "student"], catch_exceptions=False)


@pytest.mark.usefixtures("small_run")
def test_the_page_reads_a_run_with_pandas(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    (tmp_path / "runs").mkdir()
    (tmp_path / "made").rename(tmp_path / "runs" / "first")
    page = (ROOT / "docs" / "results-format.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    shown: list[object] = []
    exec(compile(block, "docs/results-format.md", "exec"), {"print": shown.append})
    table, expected = shown[0], lines(read_results(tmp_path / "runs" / "first"))
    assert len(list(filter(None, block.splitlines()))) == 5
    for line in expected:
        mean, std, count = table.loc[("convnet3", line.column, line.row.label)]  # type: ignore[attr-defined]
        assert (mean, std, count) == (pytest.approx(line.summary.mean), pytest.approx(line.summary.std), 2)
