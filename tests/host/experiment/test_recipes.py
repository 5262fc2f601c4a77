"""Recipes and options of any content: an experiment, or one sentence."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_host.basics.errors import InputError, RunError
from delt_host.basics.version import STAGES
from delt_host.contracts.component import Component
from delt_host.experiment.request import Request, parse_sets
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry

REGISTRY = load_registry()
LONG = 10**5000
DEEP = "[" * 100_000


def refusal(table: dict[str, Any]) -> str:
    """What is said to a recipe."""
    with pytest.raises(InputError) as refused:
        resolve(Request.from_table(table, "the recipe:"), REGISTRY)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 2000
    return str(refused.value)


ROW = {"label": "mine", "initializer": "noise"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"dataset": 5, "row": [ROW]}, "the dataset of the recipe must be a name"),
        ({"dataset": {"name": 5}, "row": [ROW]}, "the dataset of the recipe must be a name"),
        ({"row": 5}, "row must be a valid list"),
        ({"row": [{}]}, "row 'row' of the recipe has no initializer"),
        ({"row": [{**ROW, "role": [1]}]}, "row 'mine' of the recipe: role must be 'method'"),
        ({"row": [{**ROW, "role": "ceiling"}]}, "role must be 'method'"),
        ({"row": [{**ROW, "label": "two\nlines"}]}, "label"),
        ({"row": [{**ROW, "label": "x" * 300}]}, "label"),
        ({"row": [{**ROW, "initialiser": "noise"}]}, "no option 'initialiser'; did you mean 'initializer'"),
        ({"row": [{**ROW, "initializer": 5}]}, "initializer"),
        ({"row": [{**ROW, "initializer": {"std": 1}}]}, "initializer of row 'mine' .* must be a name"),
        ({"row": [{**ROW, "initializer": {"name": ["noise"]}}]}, "must be a name"),
        ({"row": [{"label": "mine"}]}, "has no initializer; a method as it is goes by its name"),
        ({"row": [{**ROW, "matcher": "batch-norm"}]}, "both a scheduler and a matcher"),
        ({"row": [ROW, {**ROW, "initializer": "real"}]}, "two rows are called 'mine'"),
        ({"row": [ROW, {**ROW, "label": "other"}]}, "same row"),
        ({"row": [ROW], "ceiling": True, "ceiling_epochs": -5}, "--ceiling-epochs must be at least 1, not -5"),
        ({"row": [ROW], "ipc": 0}, "--ipc must be at least 1"),
        ({"row": [ROW], "ipc": LONG}, "--ipc must be 2,147,483,647 at most, .* too long to be shown"),
        ({"row": [ROW], "threads": -1}, "--threads must be 1 to"),
        ({"row": [ROW], "students": 0}, "--students must be 1 or more"),
        ({"row": [ROW], "seeds": 10**12}, "seeds must be 1,000 at most"),
        ({"row": [ROW], "seeds": list(range(2000))}, "seeds must be 1,000 at most"),
        ({"row": [ROW], "seeds": [1.5]}, "seeds must be a count"),
        ({"row": [ROW], "seeds": float("inf")}, "seeds must be a count"),
        ({"row": [ROW], "seeds": True}, "seeds must be a count"),
        ({"row": [ROW], "ipc": True}, "ipc: it must be a number, not true"),
        ({"row": [ROW], "set": {"scheduler": {"roll": [True]}}, "method": ["delt"]}, "must be a number, not true"),
        ({"row": [ROW], "set": {"scheduler": {"roll": [LONG, 0]}}, "method": ["delt"]}, "must be 2,147,483,647 at most"),
        ({"row": [ROW], "seeds": {"a": 1}}, "seeds must be a count"),
        ({"row": [ROW], "seeds": [LONG]}, "seeds must be a count"),
        ({"row": [ROW], "regime": [{"name": 5}]}, "name of a regime of the recipe must be a name"),
        ({"row": [ROW], "evaluator": [{"name": 5}]}, "an evaluator of the recipe must be a name"),
        ({"row": [ROW], "evaluator": [5]}, "evaluator.0"),
        ({"row": [ROW], "teacher": [{"model": "convnet3", "epochs": float("inf")}]}, "teacher.epochs must be a finite number"),
        ({"row": [ROW], "methods": {"x": {"initializer": 5}}}, "methods.x.initializer"),
        ({"row": [ROW], "set": {"protocol": {"name": "delt-paper"}}}, "has an option 'name'"),
        ({"row": [ROW], "set": {"protocol": {"learning_rate": float("nan")}}}, "finite|greater"),
        ({"row": [ROW], "set": {"protocol": {"epochs": True}}}, "must be a number, not true"),
        ({"method": ["mine"], "methods": {"mine": {"initializer": {"name": "noise", "stdd": 1}}}}, "no option 'stdd'"),
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_told_what_would(table: dict[str, Any], said: str) -> None:

    assert re.search(said, refusal(table)), refusal(table)


def test_a_component_of_a_row_may_be_a_name_alone() -> None:
    (row,) = resolve(Request.from_table({"row": [ROW]}, "the recipe:"), REGISTRY).rows
    assert (row.label, row.initializer.name) == ("mine", "noise")


@pytest.mark.parametrize(
    "text", ["ipc = " + "1" * 5001, "row = " + DEEP, "ipc = 1\nipc = 2", "\x00", "a" * 10 + " = 1"], ids=range(5)
)
def test_a_file_that_is_no_recipe_gets_a_sentence(tmp_path: Path, text: str) -> None:
    place = tmp_path / "recipe.toml"
    place.write_text(text)
    with pytest.raises(InputError, match="recipe"):
        Request.from_recipe(place)


@pytest.mark.parametrize("text", [f"scheduler.roll={DEEP}", "scheduler.roll={", "scheduler.roll", "=", "a.=1"])
def test_an_assignment_that_is_none_gets_a_sentence(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_sets([text])
    assert len(str(refused.value)) < 300


# --- anything at all

NASTY = (
    st.sampled_from(
        [LONG, -LONG, 2**31, 1e308, -0.0, float("inf"), float("nan"), True, "", "\x00", "\x1b[31m", [[[[]]]]]
    )
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=2)
    | st.lists(st.floats() | st.text(max_size=3), max_size=3)
)


def options() -> list[str]:
    """Everything that ``--set`` reaches in a run of all kinds."""
    kinds = (*STAGES, "form", "protocol", "dataset")
    found = {
        f"{kind}.{option}"
        for kind in kinds
        for provided in REGISTRY.provided[kind].values()
        if isinstance(provided.thing, type) and issubclass(provided.thing, Component)
        for option in provided.thing.model_fields
    }
    return sorted(found | {f"teacher.{name}" for name in REGISTRY.get("squeezer", "ordinary").model_fields})


def understood(request: Request) -> None:
    """An experiment that its own recipe repeats, or one sentence."""
    try:
        experiment = resolve(request, REGISTRY)
    except (InputError, RunError) as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 2000
        return
    again = resolve(Request.from_table(experiment.recipe(), "its recipe"), REGISTRY)
    assert again == experiment


METHODS = ["delt", "dm,networks=fresh", "edc", "rded", "delt,form=mosaic"]


@settings(max_examples=400, deadline=None)
@given(option=st.sampled_from(options()), value=NASTY, method=st.sampled_from(["delt", "edc", "rded", "dm"]))
def test_any_value_of_any_option_is_taken_and_repeated_or_refused(option: str, value: Any, method: str) -> None:
    understood(Request(method=[method], set={option: value}))


WHOLE = resolve(
    Request(method=["delt", "delt,form=mosaic"], baseline=["edc"], ceiling=True, match="image-iterations"), REGISTRY
).recipe()


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything in a tree."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(path for key, each in inner for path in places(each, (*above, key)))]


@settings(max_examples=400, deadline=None)
@given(data=st.data(), place=st.sampled_from(places(WHOLE)[1:]), value=NASTY)
def test_a_recipe_that_was_changed_anywhere_is_taken_and_repeated_or_refused(
    data: st.DataObject, place: tuple[Any, ...], value: Any
) -> None:
    table = copy.deepcopy(WHOLE)
    inner: Any = table
    for key in place[:-1]:
        inner = inner[key]
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "replace":
        inner[place[-1]] = value
    elif change == "remove":
        del inner[place[-1]]
    elif isinstance(inner, dict):
        inner["another"] = value
    else:
        inner.append(value)
    try:
        request = Request.from_table(table, "the recipe:")
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
        return
    understood(request)


def test_a_recipe_that_nobody_changed_is_repeated(tmp_path: Path) -> None:
    place = tmp_path / "recipe.toml"
    place.write_text(tomli_w.dumps(WHOLE))
    assert resolve(Request.from_recipe(place), REGISTRY).recipe() == WHOLE
