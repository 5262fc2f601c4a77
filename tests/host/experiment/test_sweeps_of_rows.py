"""Several values for one option: rows and regimes of one table, and which lists are such."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from delt_host.basics.errors import InputError
from delt_host.basics.options import parse_value
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import Request, parse_sets
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry

REGISTRY = load_registry()


def resolved(*method: str, sets: tuple[str, ...] = (), **said: Any) -> Experiment:
    """The experiment, which its own recipe makes again."""
    made = resolve(Request(method=list(method), set=parse_sets(sets), **said), REGISTRY)
    again = resolve(Request.from_table(tomllib.loads(made.to_toml()), "the recipe:"), REGISTRY)
    assert again == made and again.to_toml() == made.to_toml()
    return made


def labels(*method: str, sets: tuple[str, ...] = (), **said: Any) -> list[str]:
    return [row.label for row in resolved(*method, sets=sets, **said).rows]


def iterations(experiment: Experiment) -> list[Any]:
    return [getattr(row.scheduler.component, "iterations", None) for row in experiment.rows if row.scheduler]


def test_a_list_for_an_option_that_takes_none_is_a_row_for_each_value() -> None:
    made = resolved("delt,scheduler.iterations=[504,1000]", baseline=["cda"])
    assert [row.label for row in made.rows] == [
        "delt (scheduler.iterations=504)", "delt (scheduler.iterations=1000)", "cda", "random-real", "delt start",
    ]  # fmt: skip
    assert iterations(made)[:2] == [504, 1000]
    assert [(row.name, row.varied) for row in made.rows[:2]] == [("delt", ("scheduler.iterations",))] * 2


def test_set_sweeps_every_method_and_baseline_that_has_the_option_and_no_control() -> None:
    made = resolved("delt", baseline=["cda"], sets=("scheduler.iterations=[504,1000]",))
    assert [row.label for row in made.rows] == [
        "delt (scheduler.iterations=504)", "delt (scheduler.iterations=1000)",
        "cda (scheduler.iterations=504)", "cda (scheduler.iterations=1000)", "random-real", "delt start",
    ]  # fmt: skip
    assert iterations(made) == [504, 1000, 504, 1000]
    own = resolved("delt,scheduler.iterations=400", sets=("scheduler.iterations=[504,1000]",), baseline=["cda"])
    assert iterations(own) == [400, 504, 1000], "a row's own option goes before"
    control = resolved("delt", control=["cda"], sets=("scheduler.iterations=[504,1000]",))
    (default,) = iterations(resolved("cda", control=[]))
    assert iterations(control) == [504, 1000, default], "a control is what it is"


def test_several_lists_are_all_combinations() -> None:
    found = labels("delt,scheduler.iterations=[504,1000],scheduler.moments=[shared,fresh]", control=[])
    assert found == [
        f"delt (scheduler.iterations={count}, scheduler.moments={moments})"
        for count in (504, 1000)
        for moments in ("shared", "fresh")
    ]


def test_of_options_that_take_lists_a_list_is_the_value_and_a_list_of_lists_a_sweep() -> None:
    (one,) = resolved("delt,scheduler.roll=[0,4]", control=[]).rows
    assert one.scheduler is not None and one.scheduler.component.roll == (0, 4)  # type: ignore[attr-defined]
    assert labels("delt,scheduler.roll=[[0,4],[0,2]]", control=[]) == [
        "delt (scheduler.roll=[0, 4])", "delt (scheduler.roll=[0, 2])",
    ]  # fmt: skip


def test_components_of_a_row_are_swept_by_name_each_with_its_own_start() -> None:
    assert labels("cda,initializer=[ranked,noise]") == [
        "cda (initializer=ranked)", "cda (initializer=noise)", "random-real", "cda start (initializer=ranked)",
        "cda start (initializer=noise)",
    ]  # fmt: skip


def test_regimes_are_swept_alike() -> None:
    def regimes(*regime: str, **said: Any) -> list[tuple[str, int]]:
        found = resolved("delt", control=[], regime=list(regime), **said).regimes
        return [(column.name, column.protocol.component.epochs) for column in found]

    own = regimes("hard,protocol.epochs=[30,60]", "views,protocol.epochs=5")
    assert own == [("hard,protocol.epochs=30", 30), ("hard,protocol.epochs=60", 60), ("views,protocol.epochs=5", 5)]
    every = regimes("hard", "views", sets=("protocol.epochs=[30,60]",))
    assert every == [(f"{name},protocol.epochs={count}", count) for name in ("hard", "views") for count in (30, 60)]
    recipe = tomllib.loads(resolved("delt", control=[], regime=["hard,protocol.epochs=30"]).to_toml())
    again = Request.from_table(recipe, "the recipe:").updated(Request(set={"protocol.epochs": [5, 6]}))
    assert [column.name for column in resolve(again, REGISTRY).regimes] == [
        "hard,protocol.epochs=5", "hard,protocol.epochs=6",
    ]  # fmt: skip


def test_rows_of_a_recipe_are_swept_and_called_by_what_they_are_then() -> None:
    recipe = tomllib.loads(resolved("delt,scheduler.iterations=400", control=[]).to_toml())
    again = Request.from_table(recipe, "the recipe:").updated(Request(set={"scheduler.iterations": [504, 1000]}))
    assert [row.label for row in resolve(again, REGISTRY).rows] == [
        "delt (scheduler.iterations=504)", "delt (scheduler.iterations=1000)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("delt,scheduler.iterations=[504,504]", "'delt': scheduler.iterations has 504 twice"),
        ("delt,scheduler.iterations=[504,many]", "scheduler early-late.iterations must be a valid integer, .*'many'"),
        ("delt,scheduler.iterations=[]", "scheduler early-late.iterations must be a valid integer, not \\[\\]"),
        ("delt,scheduler.iterations=[few,many]", "must be a valid integer, not \\['few', 'many'\\]"),
        ("delt,scheduler.roll=[0,x]", "scheduler early-late.roll.1 must be a valid integer"),
        ("cda,initializer=[ranked,nois]", "unknown initializer 'nois'; did you mean 'noise'"),
        ("cda,initializer=[]", "'cda,initializer=\\[\\]': initializer has no value"),
        ("cda,initializer=[1,2]", "initializer of 'cda,initializer=.*' must be a name, not 1"),
        ("delt,scheduler.nothing=[1,2]", "has no option 'nothing'"),
        ("random-real,scheduler.iterations=[1,2]", "random-real has no scheduler, whose option scheduler.iterations"),
        (f"cda,scheduler.iterations={list(range(1, 1200))}".replace(" ", ""), "are 1,199 combinations; 1,000 at most"),
    ],
)
def test_what_cannot_be_swept_gets_a_sentence(spec: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        resolved(spec)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


def test_lists_of_words_need_no_quotes_and_other_text_is_no_list() -> None:
    assert parse_value("[ranked, noise]") == ["ranked", "noise"]
    assert parse_value('["a","b"]') == ["a", "b"] and parse_value("[1, 2.5]") == [1, 2.5]
    for broken in ("[", "[a", "[a,,b]", "[[a]", "{a"):
        with pytest.raises(InputError, match="is not valid JSON"):
            parse_value(broken)
