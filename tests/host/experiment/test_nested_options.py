"""Options of an option that is a component, one at a time: `matcher.networks.experts=5`."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from delt_host.basics.errors import InputError
from delt_host.compare.naming import option_of
from delt_host.contracts.methods import Method, use
from delt_host.experiment.experiment import Experiment, Row
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Provided, load_registry
from delt_plugins.sources.trained import Pool

REGISTRY = load_registry()


def networks_of(one: Row) -> Any:
    assert one.matcher is not None
    return one.matcher.component.networks


def resolved(spec: str, **said: Any) -> Experiment:
    """An experiment of these methods, which its recipe makes again."""
    made = resolve(Request(method=[spec], control=[], teacher=["none"], regime=["hard"], **said), REGISTRY)
    again = resolve(Request.from_table(tomllib.loads(made.to_toml()), "the recipe:"), REGISTRY)
    assert again == made and again.to_toml() == made.to_toml()
    return made


def row(spec: str) -> Row:
    return resolved(spec).rows[0]


def test_one_option_of_the_networks_is_changed_and_the_others_are_the_methods() -> None:
    changed, plain = row("dance-small,matcher.networks.experts=5"), row("dance-small")
    assert changed.label == "dance-small (matcher.networks.experts=5)"
    assert changed.varied == ("matcher.networks.experts",)
    ours, theirs = networks_of(changed), networks_of(plain)
    assert ours.experts == 5 != theirs.experts
    assert ours == theirs.model_copy(update={"experts": 5})


def test_several_are_changed_and_a_source_by_name_has_them_too() -> None:
    said = ["matcher.networks=pool", "matcher.networks.size=3", "matcher.networks.epochs=2"]
    for order in (said, said[::-1]):
        networks = networks_of(row(",".join(["dance-small", *order])))
        assert (networks.name, networks.size, networks.epochs) == ("pool", 3, 2)


def test_a_source_that_is_a_default_or_an_object_has_them_too() -> None:
    default, plain = row("dm,matcher=gradients,matcher.networks.period=3"), row("dm,matcher=gradients")
    assert networks_of(default) == networks_of(plain).model_copy(update={"period": 3}) != networks_of(plain)
    theirs = Pool(size=4, epochs=2, model="convnet2_in")
    method = Method(
        summary="",
        initializer=use("real"),
        scheduler=use("whole-set", iterations=2),
        matcher=use("gradients", networks=theirs),
    )
    plugin = REGISTRY.provided["method"]["dance"].plugin
    registry = replace(
        REGISTRY, provided=REGISTRY.provided | {"method": REGISTRY.provided["method"] | {"x": Provided(method, plugin)}}
    )
    request = Request(method=["x,matcher.networks.size=3"], control=[], teacher=["none"], regime=["hard"])
    assert networks_of(resolve(request, registry).rows[0]) == theirs.model_copy(update={"size": 3})


def test_a_sweep_of_the_source_has_it_where_the_source_does() -> None:
    sets = {"matcher.networks": ["pool", "fresh"]}
    swept = resolved("dance-small,matcher.networks.model=convnet2_in", set=sets)
    assert [(networks_of(each).name, networks_of(each).model) for each in swept.rows] == [
        ("pool", "convnet2_in"), ("fresh", "convnet2_in"),
    ]  # fmt: skip
    recipe = tomllib.loads(resolved("dance-small,matcher.networks.experts=5").to_toml())
    again = resolve(Request.from_table(recipe, "the recipe:").model_copy(update={"set": sets}), REGISTRY)
    assert [each.label for each in again.rows] == [
        f"dance-small (matcher.networks={name})" for name in ("pool", "fresh")
    ]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("dance-small,matcher.networks.exprts=5", "networks has no option 'exprts'; did you mean 'experts'"),
        ("dance-small,matcher.networks.experts=0", "networks.experts must be greater than or equal to 1"),
        ("dance-small,matcher.netwrks.experts=5", "has no option 'netwrks.experts'; did you mean 'networks"),
        ("sre2l,matcher.networks.experts=5", "networks has no option 'experts' (options: name)"),
        ("idc-small,matcher.distance.x=5", "has no option 'distance.x'; did you mean 'distance'"),
        ("dance-small,matcher.networks.model.x=5", "networks has no option 'model.x'; did you mean 'model'"),
        ("dance-small,matcher.real_batch.experts=5", "has no option 'real_batch.experts'; did you mean 'real_batch'"),
    ],
)
def test_what_is_wrong_is_said_of_the_part_that_is(spec: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        row(spec)
    assert said in str(caught.value)


def test_set_says_where_to_write_it() -> None:
    with pytest.raises(InputError, match="write --method NAME,matcher.networks.experts=5"):
        resolved("dance-small", set={"matcher.networks.experts": "5"})


def test_data_frames_have_its_value_of_every_row() -> None:
    networks = {"name": "pool", "size": 3}
    record: Any = SimpleNamespace(components={"matcher": {"name": "characteristic", "networks": networks}})
    found = [option_of(record, f"matcher{each}") for each in ("", ".networks", ".networks.size", ".networks.experts")]
    assert found == ["characteristic", "pool", "3", "–"]
