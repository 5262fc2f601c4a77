"""The share of its published budget that a row was given, against plans and protocols counted by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from delt_host.api.outlook import outlook
from delt_host.basics.errors import InputError
from delt_host.contracts.engine import Local
from delt_host.contracts.methods import Method, use
from delt_host.contracts.observer import Observer
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Provided, Registry, load_registry
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.stages.shares import shares
from delt_host.store.store import Store
from delt_plugins.datasets.digits import Digits

INSTALLED = load_registry()
SHARED = {"initializer": use("noise"), "matcher": use("batch-norm"), "source": "a paper"}
FULL = Method(
    summary="",
    scheduler=use("constant", iterations=1000),
    regime="hard:fair,protocol.epochs=1000",
    datasets={"ipc 1": {"scheduler.iterations": 200}, "reported": {"regime": "hard:fair,protocol.epochs=800"}},
    **SHARED,
)
METHODS = {
    "full": FULL,
    "full-small": Method(summary="", of="full", scheduler=use("constant", iterations=50), **SHARED),
    "full-smaller": Method(summary="", of="full-small", scheduler=use("constant", iterations=10), **SHARED),
    "ours": FULL.model_copy(update={"source": ""}),
    "lost": FULL.model_copy(update={"of": "ful"}),
}


class Reported(Digits):
    """Digits that papers report on, and that suggest as much as digits do."""

    reported: ClassVar[bool] = True


def registry() -> Registry:
    plugin = INSTALLED.provided["method"]["delt"].plugin
    return replace(
        INSTALLED,
        provided={
            **INSTALLED.provided,
            "method": INSTALLED.provided["method"] | {name: Provided(thing, plugin) for name, thing in METHODS.items()},
            "dataset": INSTALLED.provided["dataset"] | {"reported": Provided(Reported, plugin)},
        },
    )


def found(store: Path, *methods: str, dataset: str = "reported", **said: Any) -> Mapping[str, dict[str, Any]]:
    """By label, the shares of a run's rows."""
    asked = Request(**{"regime": ["hard"], "method": list(methods), "ipc": 2, "dataset": dataset, **said})
    host = Host(registry(), Store(store), Observer())
    experiment = resolve(asked, host.registry)
    comparison = story.outlined(experiment, host)
    if experiment.match is not None:
        rows = story.with_budget(experiment, comparison.problem, comparison.plans, host)
        experiment = replace(experiment, rows=rows)
        comparison = story.outlined(replace(experiment, match=None), host)
    return {
        row.label: shares(row, comparison.plans.get(row.label), comparison.problem, experiment.regimes, host)
        for row in comparison.rows
    }


def iterations(tmp_path: Path, *methods: str, **said: Any) -> list[float | None]:
    own = found(tmp_path / "store", *methods, control=[], **said)
    return [each.get("share_of_iterations") for each in own.values()]


def test_iterations_are_held_against_the_published_ones_whatever_was_said_of_the_run(tmp_path: Path) -> None:
    assert iterations(tmp_path, "full") == [0.12], "the dataset suggests 120"
    assert iterations(tmp_path, "full", set={"scheduler.iterations": 250}) == [0.25]
    assert iterations(tmp_path, "full,scheduler.iterations=2500") == [2.5]
    assert iterations(tmp_path, "full", ipc=1, set={"scheduler.iterations": 50}) == [0.25], (
        "200 are published for IPC 1"
    )
    assert iterations(tmp_path, "full", match="image-iterations=4000") == [0.2], "20 images, 200 times"
    assert iterations(tmp_path, "full", form="mosaic", set={"scheduler.iterations": 250}) == [0.25], "of a unit each"


def test_a_preset_is_held_against_the_method_that_it_is_of(tmp_path: Path) -> None:
    own = found(
        tmp_path / "store",
        "full-small",
        "full,scheduler.iterations=20",
        "full-smaller,scheduler.iterations=5",
        control=[],
    )
    assert [each["of"] for each in own.values()] == ["full"] * 3
    assert [each["share_of_iterations"] for each in own.values()] == [0.12, 0.02, 0.005], "the dataset suggests 120"


def test_students_steps_are_held_against_the_published_regimes(tmp_path: Path) -> None:
    regimes = ["hard:fair", "hard", "hard:fair,protocol.epochs=80", "views,protocol.steps=400", "full"]
    own = found(tmp_path / "store", "full-small", control=[], regime=regimes)["full-small"]["shares_of_steps"]
    # 20 images in batches of 10: two steps an epoch, 800 epochs published for this dataset. The dataset suggests 40, and one
    # step an epoch of `hard`.
    assert own == dict(zip(regimes, (0.05, 0.025, 0.1, 0.25, 1.0), strict=True))


def test_nothing_is_told_where_nothing_is_published(tmp_path: Path) -> None:
    own = found(
        tmp_path / "store",
        "full",
        "rded",
        "ours,scheduler.iterations=9",
        control=["random-real", "start"],
        ceiling=True,
    )
    assert [label for label, told in own.items() if told] == ["full"] and len(own) == 6
    assert not any(found(tmp_path / "store", "full", dataset="digits").values()), "no paper reports on digits"


def test_a_recipe_repeats_the_shares_and_does_without_a_method_that_is_gone(tmp_path: Path) -> None:
    asked = Request(method=["full-small"], control=[], dataset="reported", ipc=2, regime=["hard"])
    first = resolve(asked, registry())
    again = resolve(Request.from_table(first.recipe(), "the recipe"), registry())
    assert again.rows[0].published == first.rows[0].published is not None
    gone = registry()
    del gone.provided["method"]["full-small"]
    assert resolve(Request.from_table(first.recipe(), "the recipe"), gone).rows[0].published is None


def test_a_dry_run_says_which_rows_will_be_no_figure_of_their_method(tmp_path: Path) -> None:
    def told(**said: Any) -> tuple[str, ...]:
        asked = Request(
            **{"method": ["full-small"], "control": [], "dataset": "reported", "ipc": 2, "regime": ["hard"], **said}
        )
        host = Host(registry(), Store(tmp_path / "store"), Observer())
        return tuple(
            each for each in outlook({"": resolve(asked, host.registry)}, {"": host}, Local()).advice if "†" in each
        )

    spent = "† of less than a fifth of the published budget, so no figure of the published method: full-small "
    steps = "students' steps under hard"
    assert told() == (spent + f"(12 % of full's iterations; 2.5 % of its {steps}).",)
    assert told(set={"scheduler.iterations": 250}) == (spent + f"(2.5 % of full's {steps}).",)
    assert told(set={"scheduler.iterations": 250, "protocol.epochs": 800}) == ()
    assert told(match="image-iterations=4000") == (spent + f"(2.5 % of full's {steps}).",), (
        "not known before it is matched"
    )


def test_a_preset_of_nothing_is_an_error_that_names_both() -> None:
    with pytest.raises(InputError, match=r"method lost is a preset: unknown method 'ful'; did you mean 'full'\?"):
        resolve(Request(method=["lost"], dataset="reported"), registry())
    assert any("method lost of" in each and "'ful'" in each for each in registry().dangling())
