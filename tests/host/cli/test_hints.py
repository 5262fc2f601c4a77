"""Options that other programs have lead to those that do it here, and a stage that is left out is named."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from delt_host.basics.errors import InputError
from delt_host.cli import cli, commands, hints
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Registry, load_registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry()


@pytest.fixture(autouse=True)
def one_store(tmp_path_factory: pytest.TempPathFactory, _own_store: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is looked at once for all tests here."""
    monkeypatch.setenv("DELT_HOST_STORE", str(tmp_path_factory.getbasetemp() / "store-of-hints"))


def refused(line: str) -> str:
    """The sentence that a command ends with."""
    done = CliRunner().invoke(cli, shlex.split(line))
    assert done.exit_code, done.output
    return str(done.exception) if isinstance(done.exception, InputError) else done.output.splitlines()[-1]


STUDENTS, TEACHERS = "(how students are trained)", "(how teachers are trained)"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "run --epochs 5",
            f"run has no --epochs; use --set protocol.epochs=5 {STUDENTS} or --set teacher.epochs=5 {TEACHERS}",
        ),
        ("run --epochs=7", "--set protocol.epochs=7"),
        ("run --iterations 100", "use --set scheduler.iterations=100 (how images are optimised)"),
        ("run --iters", "--set scheduler.iterations=…"),
        ("run --seed 1", "use --seeds N|LIST (How many seeds"),
        ("run --lr 0.1", "--set protocol.learning_rate=0.1"),
        ("run --batch-size 64", "--set teacher.batch_size=64"),
        ("run --itertions 5", "--set scheduler.iterations=5"),
        ("run --model resnet18", "use --teacher MODEL|FILE (Model to squeeze"),
        ("run --model resnet18", "or --student MODEL (Student to train"),
        ("run --methods delt", "use --method NAME"),
        ("run --gpu 0", "use --device NAME (auto"),
        ("run --output here", "use --out PATH"),
        ("run --name mine", "use --out PATH"),
        ("run --resume", "the same command goes on"),
        ("run --data here", "use --dataset NAME[:PATH]"),
        ("run --config r.toml", "delt-host run FILE"),
        ("run --eva student", "use --evaluator NAME"),
        ("run --metod delt", "'--method'"),
        ("run --nonsense", "No such option '--nonsense'."),
        ("evaluate runs/x --seeds 5", "evaluate has no --seeds; use --students N (Students trained on each seed's set"),
        ("evaluate runs/x --epochs 5", f"use --set protocol.epochs=5 {STUDENTS}"),
        ("squeeze --epochs 5", f"use --set teacher.epochs=5 {TEACHERS}"),
        ("export runs/x --output y", "use --to PATH"),
        ("run delt", "delt is a method and no recipe's file: --method delt"),
        (
            "run -m delt --set epochs=5",
            f"--set epochs=5 names no stage: --set protocol.epochs=5 {STUDENTS} or --set teacher.epochs=5 {TEACHERS}",
        ),
        ("run -m delt --set lr=1", "--set protocol.learning_rate=1"),
        ("run -m delt --set nonsense=1", "is not of the form STAGE.OPTION=VALUE"),
    ],
)
def test_what_is_typed_elsewhere_leads_to_what_does_it(line: str, said: str) -> None:
    sentence = refused(line)
    assert said in sentence, sentence
    assert ("teacher.epochs" in sentence) == (("--epochs" in line and "evaluate" not in line) or "set epochs" in line)


def test_every_hint_leads_to_an_option_that_some_command_has() -> None:
    there = {
        flag.removeprefix("--") for each in commands.found().values() for o in each.load().params for flag in o.opts
    }
    assert {each for ways in hints.MEANT.values() for each in ways.split()} <= there
    assert not set(hints.SAID) & set(hints.MEANT)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"set": {"epochs": 5}},
            f"epochs names no stage: --set protocol.epochs=5 {STUDENTS} or --set teacher.epochs=5",
        ),
        ({"set": {"protocol.epoch": 5}}, "no protocol in this run has an option 'epoch'; did you mean 'epochs'?"),
        ({"set": {"protocol.lr": "0.1"}}, "use --set protocol.learning_rate=0.1"),
        ({"set": {"student.epochs": 5}}, "unknown stage 'student'"),
        ({"set": {"student.epochs": 5}}, f"use --set protocol.epochs=5 {STUDENTS}"),
        ({"set": {"scheduler.epochs": 5}}, f"use --set protocol.epochs=5 {STUDENTS}"),
        (
            {"set": {"scheduler.round_iterations": 5}},
            "an option 'round_iterations', as early-late would have (options:",
        ),
        ({"baseline": ["cda,iterations=5"]}, "'cda,iterations=5': iterations=5 names no stage: scheduler.iterations=5"),
        ({"regime": ["hard,epochs=5"]}, "'hard,epochs=5': epochs=5 names no stage: protocol.epochs=5"),
    ],
)
def test_an_option_that_is_elsewhere_is_found_there(asked: dict[str, object], said: str, registry: Registry) -> None:
    """As the API and recipes say it, too."""
    with pytest.raises(InputError) as error:
        resolve(Request.model_validate({"method": ["sre2l"], **asked}), registry)
    assert said in str(error.value)


def test_students_a_set_is_one_option_of_evaluate(small_run: Path) -> None:
    """What `--seeds` there leads to does it."""
    done = CliRunner().invoke(
        cli, ["evaluate", str(small_run), "--students", "2", "--set", "protocol.epochs=1", "-q", "--regime", "hard"]
    )
    assert done.exit_code == 0, done.output
