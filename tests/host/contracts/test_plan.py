"""Schedulers give the plans that the published code runs, and their cost is exact."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delt_host.basics.errors import InputError
from delt_host.basics.options import build
from delt_host.contracts.plan import Curve, Group, Learned, Phase, Plan
from delt_host.contracts.problem import Problem
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_plugins.delt.early_late import EarlyLate, join_rounds
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.sre2l.schedule import Constant


def at_ipc(problem: Problem, ipc: int) -> Problem:
    return replace(problem, ipc=ipc)


# Section 9 of the paper's cost: exact shares of the constant schedule's image-iterations, uneven groups included.
@pytest.mark.parametrize(
    ("ipc", "round_iterations", "share"),
    [
        (10, 500, 0.6375),
        (50, 500, 0.5775),
        (100, 500, 0.5725),
        (10, 1000, 0.675),
        (50, 1000, 0.635),
        (100, 1000, 0.625),
    ],
)
def test_early_late_costs_the_published_share(problem: Problem, ipc: int, round_iterations: int, share: float) -> None:
    early_late = EarlyLate(round_iterations=round_iterations).plan(at_ipc(problem, ipc))
    constant = Constant().plan(at_ipc(problem, ipc))
    assert constant.image_iterations == 10 * ipc * 4000
    assert early_late.image_iterations / constant.image_iterations == pytest.approx(share, abs=1e-12)


def test_early_late_active_images_and_curves_are_those_of_the_published_code(problem: Problem) -> None:
    plan = EarlyLate().plan(at_ipc(problem, 50))
    assert len(plan.groups) == 5
    phases = plan.groups[0].phases
    assert [phase.active for phase in phases] == [14, 28, 40, 52, 64, 76, 88, 100]
    starts = range(0, 4000, 500)
    rates = [phase.rates["images"].at(t) for phase, t in zip(phases, starts, strict=True)]
    crops = [phase.min_crop.at(t) for phase, t in zip(phases, starts, strict=True)]
    assert rates == pytest.approx([0.25, 0.2405, 0.2134, 0.1728, 0.125, 0.0772, 0.0366, 0.0095], abs=1e-4)
    assert crops == pytest.approx([1, 0.965, 0.865, 0.716, 0.54, 0.364, 0.215, 0.115], abs=1e-3)


def test_the_first_ranks_join_first(problem: Problem) -> None:
    group = EarlyLate(iterations=80).plan(at_ipc(problem, 10)).groups[0]
    first = set(group.images[: group.phases[0].active])
    assert first == {c * 10 + rank for c in range(10) for rank in (0, 1)}
    assert sorted(group.images) == list(range(100))


def test_rounds_before_a_groups_first_image_are_left_out(problem: Problem) -> None:
    """At IPC 200 every second group of 100 holds ranks 100 to 199 only, which join in the later rounds."""
    groups = EarlyLate().plan(at_ipc(problem, 200)).groups
    assert groups[0].iterations == 4000
    assert groups[1].iterations == 2000
    assert groups[1].phases[0].rates["images"].at(0) == 0.25
    assert groups[1].phases[-1].rates["images"].at(2000) == pytest.approx(0)


@pytest.mark.parametrize("ipc", [1, 3, 8, 10, 13])
def test_every_image_joins_once(ipc: int) -> None:
    joins = join_rounds(ipc, 8)
    assert len(joins) == ipc
    assert joins == sorted(joins)
    assert joins[0] == 0


def test_one_image_per_class_runs_all_iterations(problem: Problem) -> None:
    plan = EarlyLate(iterations=80).plan(at_ipc(problem, 1))
    assert plan.image_iterations == 10 * 80


def test_constant_groups_by_rank_as_sre2l_and_by_class_or_tenth_on_request(problem: Problem) -> None:
    by_rank = Constant(iterations=10).plan(at_ipc(problem, 3))
    assert [group.images for group in by_rank.groups] == [tuple(range(r, 30, 3)) for r in range(3)]
    by_class = Constant(iterations=10, order="class", group_size=20).plan(at_ipc(problem, 3))
    assert [len(group.images) for group in by_class.groups] == [20, 10]
    tenths = Constant(iterations=10, order="tenths", group_size=20)
    of_fifteen = [image for group in tenths.plan(at_ipc(problem, 15)).groups for image in group.images]
    assert sorted(of_fifteen) == [*range(150)]
    assert of_fifteen[:12] == [0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 1, 2]
    of_three = tenths.plan(at_ipc(problem, 3)).groups
    assert [len(group.images) for group in of_three] == [20, 10]
    assert of_three[1] == by_rank.groups[2], "fewer than ten of a class: one of each at a time"


def test_no_iterations_is_no_work(problem: Problem) -> None:
    assert Constant(iterations=0).plan(problem).image_iterations == 0
    assert EarlyLate(iterations=0).plan(problem).image_iterations == 0


def test_curriculum_shapes() -> None:
    """CDA: cosine .08 + .92 (1 + cos(pi p)) / 2, linear .08 + .92 (1 - p), step 1 until the milestone."""
    at_half = {"cosine": 0.54, "linear": 0.54, "step": 1.0, "constant": 0.08, "half-cosine": 0.08 + 0.92 * 0.8535534}
    for shape, value in at_half.items():
        curve = Curve(shape=shape, start=1.0, stop=0.08, span=100)  # type: ignore[arg-type]
        assert curve.at(50) == pytest.approx(value, abs=1e-6), shape
    assert Curve(shape="cosine", start=1, stop=0.08, span=50).at(80) == pytest.approx(0.08)


def test_iterations_that_are_no_whole_rounds_are_refused_with_what_would_do() -> None:
    with pytest.raises(InputError, match=r"iterations \(1000\) must be a multiple of round_iterations \(300\): 900 or"):
        build(EarlyLate, {"iterations": 1000, "round_iterations": 300}, "scheduler early-late")


def test_a_group_cannot_lose_images() -> None:
    rate = Curve(shape="constant", start=1, stop=1, span=1)
    phases = [Phase(active=n, iterations=1, rates={"images": rate}) for n in (2, 1)]
    with pytest.raises(ValueError, match="fewer active images"):
        Group(images=(0, 1), phases=tuple(phases))


def one_group(rates: tuple[str, ...], **more: object) -> Plan:
    phase = Phase(active=1, iterations=2, rates={what: Curve.constant(1.0) for what in rates})
    groups = tuple(Group(images=(place,), phases=(phase,)) for place in range(int(more.pop("count", 1))))  # type: ignore[call-overload]
    return Plan(groups=groups, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rates", "more", "said"),
    [
        (("labels",), {}, r"a phase learns labels, which `learns` does not describe: add Learned\(what='labels'\)"),
        (("learning_rate",), {"learns": (Learned(what="learning_rate"),), "count": 2}, "put all units into one group"),
        (("images",), {"learns": (Learned(what="images"), Learned(what="images"))}, "describes one thing twice"),
        (("images",), {"siamese": "color_blur"}, "'blur' is no siamese augmentation"),
    ],
)
def test_a_plan_that_does_not_say_what_it_learns_is_refused(
    rates: tuple[str, ...], more: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        one_group(rates, **more)


def test_an_optimisers_options_are_its_own() -> None:
    with pytest.raises(ValueError, match=r"sgd has no option 'betas' \(options: momentum\)"):
        Learned(what="images", optimizer="sgd", options={"betas": (0.5, 0.9)})


def test_what_is_learned_survives_json_and_costs_what_its_units_do() -> None:
    learns = (
        Learned(what="images", options={"betas": (0.9, 0.999)}),
        Learned(what="labels", optimizer="sgd", start=4.0),
    )
    plan = one_group(("images", "labels"), learns=learns, siamese="flip")
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert plan.image_iterations == 2


def test_plans_count_units_whatever_they_decode_to(problem: Problem) -> None:
    """A mosaic holds four images in the place of one: as many units, four times the images through the network."""
    mosaics = problem.in_form(Mosaic())
    for scheduler in (EarlyLate(iterations=16), Constant(iterations=16)):
        assert scheduler.plan(mosaics) == scheduler.plan(problem)
    assert (mosaics.num_units, mosaics.num_images) == (40, 160)


def test_a_scaled_roll_is_a_seventh_of_the_side(problem: Problem) -> None:
    """0..32 at 224 px as published; on small images in proportion, whatever the dataset is called."""
    assert problem.image_size == 8
    assert Constant(iterations=8, roll="scaled").plan(problem).roll == (0, 1)
    assert Constant(iterations=8, roll=(-2, 2)).plan(problem).roll == (-2, 2)
    methods = load_registry().things("method")
    assert [methods[name].scheduler.options["roll"] for name in ("sre2l", "cda")] == ["scaled", "scaled"]


def test_delt_residual_keeps_half_of_the_start_and_optimises_nothing_at_one_image_per_class(problem: Problem) -> None:
    registry = load_registry()
    many, one = (resolve(Request(method=["delt-residual"], ipc=ipc), registry).rows for ipc in (10, 1))
    assert many[0].scheduler is not None and one[0].scheduler is None and one[0].matcher is None
    plan = many[0].scheduler.component.plan(problem)
    assert (plan.residual, plan.views, plan.moments) == (0.5, "image", "fresh") and plan.image_iterations > 0
    assert one[0].initializer.component.model_dump()["selection"] == "highest"
    assert [row.label for row in one] == ["delt-residual", "random-real"]  # its start would be itself
    own = resolve(Request(method=["delt-residual,scheduler=early-late,matcher=batch-norm"], ipc=1), registry).rows[0]
    assert own.scheduler == many[0].scheduler and own.matcher == many[0].matcher
    with pytest.raises(InputError, match="has no scheduler on digits at IPC 1; give one with --scheduler NAME"):
        resolve(Request(method=["delt-residual"], ipc=1, matcher="batch-norm"), registry)
