"""`delt_host.run`: the command's options by their names, objects in place of names, and what comes back."""

from __future__ import annotations

import dataclasses
import inspect
import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from torch import nn

import delt_host
from asking import FRESH, TINY, Mean, tiny
from commands import python
from delt_host import Evaluation, Evaluator, InputError, Method, Observer, Problem, Regime, use
from delt_host.api import words
from delt_host.cli.run import command as run_command
from delt_host.plugins.registry import load_registry, registered
from delt_plugins.controls.real import Real
from delt_plugins.rescore.evaluate import command as evaluate_command
from delt_plugins.teachers.squeeze import command as squeeze_command
from running import call


class Counting(Evaluator):
    """How many images there are."""

    per = "set"
    headline = "count"
    unit = ""

    def evaluate(self, problem: Problem, distilled: Any, taught: Any) -> Evaluation:
        return Evaluation({"count": float(len(distilled.targets))})


def small_net(num_classes: int, image_size: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, num_classes))


def names_of(command: click.Command) -> set[str]:
    """The options of a command, by their long names as words of Python."""
    longest = [max(each.opts, key=len) for each in command.params if isinstance(each, click.Option)]
    found = {name.lstrip("-").replace("-", "_") for name in longest}
    return {{"no_controls": "controls", "p": "plugins"}.get(name, name) for name in found}


@pytest.mark.parametrize(
    ("function", "command", "ours", "theirs"),
    [
        (delt_host.run, run_command, {"debug"}, {"json", "dry_run"}),
        (delt_host.dry_run, run_command, {"debug"}, {"json", "dry_run"}),
        (delt_host.evaluate, evaluate_command, {"debug"}, {"json"}),
        (delt_host.squeeze, squeeze_command, {"debug"}, {"out"}),
    ],
)
def test_every_option_of_the_command_is_an_argument(
    function: Any, command: click.Command, ours: set[str], theirs: set[str]
) -> None:
    arguments = set(inspect.signature(function).parameters) - {"recipe", "run"}
    assert arguments - ours == names_of(command) - theirs


def test_it_is_found_by_dir_and_explained_by_help() -> None:
    assert {"run", "dry_run", "evaluate", "squeeze", "load", "load_run", "register", "Result"} <= set(dir(delt_host))
    text = io.StringIO()
    pydocs = __import__("pydoc").Helper(output=text)
    pydocs(delt_host.dry_run)
    assert "matcher" in text.getvalue() and "-> 'Outlook'" in text.getvalue()


def test_the_same_run_as_by_the_command(tmp_path: Path) -> None:
    made = tiny(
        tmp_path, method=["random-real", "sre2l,scheduler.iterations=2"], teacher="convnet3", set={"teacher.epochs": 1}
    )
    call(
        "run", "-m", "random-real", "-m", "sre2l,scheduler.iterations=2", "--teacher", "convnet3", "--regime", "hard",
        "--ipc", 1, "--seeds", 1, "--no-controls", "-q", "--threads", 1, "--set", "dataset.image_size=8",
        "--set", "protocol.epochs=1", "--set", "teacher.epochs=1", "--store", tmp_path / "other",
        "--out", tmp_path / "by-command",
    )  # fmt: skip
    other = delt_host.load_run(tmp_path / "by-command")
    assert made.results.recipe == other.results.recipe
    assert [score.scores for score in made.results.scores] == [score.scores for score in other.results.scores]
    for row in made.rows:
        assert torch.equal(made.images(row), other.images(row))


def test_what_comes_back(tmp_path: Path) -> None:
    made = tiny(tmp_path)
    assert made.rows == ["random-real"] and not made.failures and not made.interrupted
    assert made.images("random-real").shape == (10, 3, 8, 8) and made.images("random-real").dtype == torch.uint8
    assert made.set("random-real", 0).class_names == tuple("0123456789")
    assert made.picture("random-real").size[0] > 0
    assert made.reports["report"] == made.folder / "report.html" and made.reports["report"].is_file()
    for text in (str(made), repr(made.table)):
        assert "random-real" in text and "top-1" in text and "\x1b" not in text
    html = made._repr_html_()
    assert "<td" in html and "random-real" in html and made.table._repr_html_() in html


def test_labels_are_text_in_html(tmp_path: Path) -> None:
    delt_host.register("a", Method(summary="", initializer="real"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[[row]]\nlabel = "<script>alert(1)</script>"\ninitializer = "real"\n')
    html = tiny(tmp_path, method=None, recipe=recipe)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html


def test_a_data_frame(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    made = tiny(tmp_path, seeds=2)
    frame = made.to_pandas()
    (line,) = frame.to_dict("records")
    assert (line["row"], line["regime"], line["n"], line["unit"]) == ("random-real", "hard", 2, "%")
    assert line["split"] == "test"
    scores = made.to_pandas(scores=True)
    assert list(scores["set"]) == [0, 1] and line["mean"] == pytest.approx(scores["top1"].mean())


def test_without_pandas_all_else_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="a data frame needs pandas, which is not installed: pip install pandas"):
        made.to_pandas()


def test_objects_in_place_of_names(tmp_path: Path) -> None:
    heard: list[str] = []

    class Listening(Observer):
        def scored(self, score: Any, images: Any) -> None:
            heard.append(score.row)

    mine = Method(
        summary="mine", initializer=Real, scheduler=use("constant", iterations=2), matcher=use(Mean, networks="fresh")
    )
    made = tiny(
        tmp_path,
        method=[mine, "random-real"],
        evaluator=[Counting, "student"],
        student=small_net,
        regime=Regime(summary="plain", relabeler="hard", protocol="fair"),
        observer=Listening(),
    )
    assert made.rows == ["mine", "random-real"] and not made.failures
    assert set(heard) == {"mine", "random-real"}
    table = made.to_pandas() if "pandas" in sys.modules else None
    assert table is None or set(table["evaluator"]) == {"Counting", "small_net"}
    recipe = made.results.recipe
    assert recipe["objects"] == ["matcher Mean", "evaluator Counting", "model small_net"]


def test_an_instance_has_its_options_and_those_that_are_set_reach_the_others(tmp_path: Path) -> None:
    made = tiny(tmp_path, method="sre2l", matcher=Mean(weight=0.25), set=FRESH)
    (row,) = made.results.rows
    assert row.label == "sre2l (matcher=Mean(weight=0.25))"
    assert row.components["matcher"]["weight"] == 0.25 and row.components["scheduler"]["iterations"] == 2
    assert made.images("sre2l").shape == (10, 3, 8, 8)  # by its method, which has one row


def test_a_class_that_a_plugin_provides_goes_by_its_name(tmp_path: Path) -> None:
    made = tiny(tmp_path, method="sre2l", initializer=Real, matcher=Mean, set=FRESH)
    assert made.rows == ["sre2l (initializer=real, matcher=Mean)"]
    assert made.results.recipe["objects"] == ["matcher Mean"]


def test_a_recipe_of_objects_repeats_nothing_and_engines_refuse_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny(tmp_path, student=small_net)
    assert delt_host.run(made.folder, quiet=True, store=tmp_path / "store").rows == made.rows  # they are at hand here
    monkeypatch.setattr(words, "_objects", {})  # as in another process
    with pytest.raises(InputError, match=r"was given objects in Python \(model small_net\), which no file repeats"):
        delt_host.run(made.folder / "experiment.toml")
    with pytest.raises(InputError, match=r"engine slurm sends descriptions, and objects of Python are none"):
        tiny(tmp_path, student=small_net, engine="slurm")
    with pytest.raises(InputError, match="was given objects"):
        delt_host.evaluate(made.folder, evaluator="diversity")
    monkeypatch.undo()
    again = delt_host.evaluate(made, evaluator=Counting, store=tmp_path / "store", quiet=True)
    assert again.results.scores[0].scores == {"count": 10.0} and torch.equal(
        again.images("random-real"), made.images("random-real")
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"matcher": Real}, "Real is given as matcher, and is not a subclass of delt_host.Matcher: give it as initializer"),
        ({"method": Mean}, "Mean is given as method, and is not a delt_host.Method but a ModelMetaclass: give it as matcher"),
        ({"method": "dlet"}, "unknown method 'dlet'; did you mean 'delt'?"),
        ({"student": nn.Linear(1, 1)}, "a Linear is given as model, and is a network already: give the function that makes it"),
        ({"ipc": "many"}, "delt_host: ipc must be a valid integer"),
        ({"set": {"protocol.epoch": 1}}, "no protocol in this run has an option 'epoch'; did you mean 'epochs'?"),
        ({"dataset": Path("photos")}, "the dataset photos is a path; a folder of class folders is read as 'folder:photos'"),
        ({"observer": 3}, "an observer is a name, a delt_host.Observer or its class, not a int"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        tiny(tmp_path, **given)
    assert said in str(caught.value)
    assert caught.value._render_traceback_() == [f"InputError: {caught.value}"]


def test_registered_names_are_there_for_every_call(tmp_path: Path) -> None:
    @delt_host.register("mean-of-mine")
    class First(Mean):
        """The first."""

    delt_host.register(
        "mine-as-method", Method(summary="", initializer="real", scheduler="constant", matcher="mean-of-mine")
    )
    made = tiny(tmp_path, method="mine-as-method", set=FRESH)
    assert made.results.recipe["objects"] == ["matcher mean-of-mine"]
    with pytest.raises(InputError, match="'not a name' is no name"):
        delt_host.register("not a name", Mean)
    with pytest.raises(InputError, match="cannot stand for a int"):
        delt_host.register("number", 3)
    delt_host.register("sre2l", Mean)  # another kind: no clash
    delt_host.register("delt", Method(summary="", initializer="real"))
    with pytest.raises(InputError, match="two plugins provide the method 'delt': .*registered in this process"):
        tiny(tmp_path, method="delt")


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    before = dict(registered)
    yield
    registered.clear()
    registered.update(before)


def test_teachers_as_objects(tmp_path: Path) -> None:
    options = {
        "store": tmp_path / "store",
        "quiet": True,
        "threads": 1,
        "set": {"dataset.image_size": 8, "teacher.epochs": 2},
    }
    (teacher,) = delt_host.squeeze(dataset="digits", teacher="convnet3", **options)
    assert teacher.accuracy > 20 and "state=" in repr(teacher) and len(repr(teacher)) < 600
    made = tiny(tmp_path, teacher=teacher, regime=["hard", "views"])
    assert made.results.teachers[0].fingerprint == teacher.fingerprint
    assert made.results.recipe["objects"] == ["teacher convnet3"]
    labels = made.soft_labels("random-real")
    assert labels.shape == (10, 10) and torch.isfinite(labels).all()
    network = teacher.network(
        teacher.class_names, delt_host.Compute.choose("cpu", "fp32"), load_registry().things("model")
    )
    expected = network(made.set("random-real").images())
    torch.testing.assert_close(labels, expected)
    again = tiny(tmp_path, teacher=network, regime=["hard", "views"], out=tmp_path / "module")
    assert not again.failures and again.results.recipe["objects"] == ["model ConvNet"]
    assert torch.equal(
        again.soft_labels("random-real"), labels
    )  # the same teacher, and a student with weights of its own
    assert again.results.scores[0].scores["top1"] < teacher.accuracy


def test_nothing_of_the_caller_is_changed(tmp_path: Path) -> None:
    before = (
        torch.get_num_threads(),
        Path.cwd(),
        torch.random.get_rng_state(),
        list(sys.path),
        sys.stdout,
        warnings.filters[:],
    )
    torch.set_num_threads(2)
    tiny(tmp_path, threads=1)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before[0])
    after = (
        torch.get_num_threads(),
        Path.cwd(),
        torch.random.get_rng_state(),
        list(sys.path),
        sys.stdout,
        warnings.filters[:],
    )
    assert torch.equal(before[2], after[2]) and before[:2] == after[:2] and before[3:] == after[3:]


def test_an_interrupt_returns_what_is_finished(tmp_path: Path) -> None:
    class Stopping(Observer):
        def __init__(self) -> None:
            self.seen = 0

        def scored(self, score: Any, images: Any) -> None:
            self.seen += 1
            if self.seen == 2:
                raise KeyboardInterrupt

    stopped = tiny(tmp_path, seeds=3, observer=Stopping())
    assert stopped.interrupted and [score.set for score in stopped.results.scores] == [0]
    assert str(stopped).startswith("finished so far:") and not (tmp_path / "run/results.json").exists()
    whole = tiny(tmp_path, seeds=3)
    assert not whole.interrupted and len(whole.results.scores) == 3
    with pytest.raises(KeyboardInterrupt):
        first = Stopping()
        first.seen = 1
        tiny(tmp_path, out=tmp_path / "nothing", observer=first)


def test_a_row_that_fails_is_in_the_results(tmp_path: Path) -> None:
    class Failing(Mean):
        """Fails."""

        def bind(self, problem: Problem) -> Any:
            raise ValueError("as it must")

    made = tiny(tmp_path, method="sre2l", baseline="random-real", matcher=Failing, set=FRESH)
    (label,) = made.failures
    assert "ValueError: as it must (" in made.failures[label][0] and label in str(made)
    with pytest.raises(InputError, match=r"has no distilled set: .*as it must"):
        made.images(label)


def test_what_it_would_do(tmp_path: Path) -> None:
    asked = {**TINY, "store": tmp_path / "store", "method": "random-real"}
    outlook = delt_host.dry_run(**asked)
    assert {line.state for line in outlook.steps} == {"missing"} and "dry run: nothing is computed" in str(outlook)
    delt_host.run(**asked, out=tmp_path / "run")
    assert {line.state for line in delt_host.dry_run(**asked).steps} == {"kept"}
    assert dataclasses.is_dataclass(outlook)


def test_a_component_of_a_cell_that_is_edited_is_another_one(tmp_path: Path) -> None:
    """As a notebook has it: classes of one name in `__main__`, whose code is another after each edit."""
    sets = {"dataset.image_size": 8, "protocol.epochs": 1, **FRESH}
    options = {**TINY, "method": "sre2l", "set": sets, "store": str(tmp_path / "store")}
    script = f"""
import delt_host, torch
from delt_host import Matcher
OPTIONS = {options!r}
def define(what):
    space = {{"Matcher": Matcher, "__name__": "__main__"}}
    exec(f'''
class Mine(Matcher):
    "A matcher."
    def bind(self, problem):
        def match(views):
            return {{{{"m": ({{what}}).expand(views.groups)}}}}
        return match
''', space)
    return space["Mine"]
SQUARE, OTHER = "views.images.square().mean()", "(views.images - 1).abs().mean()"
made = []
for turn, what in enumerate([SQUARE, SQUARE, OTHER]):
    result = delt_host.run(matcher=define(what), out={str(tmp_path)!r} + f"/run-{{turn}}", **OPTIONS)
    assert not result.failures, result.failures
    made.append((result.images("sre2l"), result.results.scores[0].key))
assert torch.equal(made[0][0], made[1][0]) and made[0][1] == made[1][1]
assert not torch.equal(made[0][0], made[2][0]) and made[0][1] != made[2][1]
print("as it should be")
"""
    done = python("-c", script)
    assert "as it should be" in done.stdout, done.stderr


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, delt_host; dir(delt_host); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )
