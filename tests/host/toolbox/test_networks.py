"""Network sources: chosen by name or table, part of keys, prepared as steps, drawn as they say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.seeding import isolated_rng
from delt_host.cli import cli
from delt_host.contracts.identity import identity
from delt_host.contracts.matcher import Match, Matcher, Views
from delt_host.contracts.plan import Curve, Learned, Phase
from delt_host.contracts.prepared import Passes
from delt_host.contracts.problem import Problem
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_host.recovery.cost import passes_of
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import balanced, recover_group, squared_lengths, stacks
from delt_host.recovery.views import draws
from delt_host.toolbox import RealBatches, drawn_network, logits, parameters, with_gradient
from delt_plugins.controls.real import Real
from delt_plugins.dm.distribution import DistributionMatching
from delt_plugins.sources.fresh import Fresh
from delt_plugins.sources.trained import Interpolated, Pool
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.sre2l.schedule import Constant

REGISTRY = load_registry()


def matcher_of(*sets: tuple[str, object], **more: object) -> Matcher:
    request = Request(method=["dm"], set=dict(sets), **more)  # type: ignore[arg-type]
    named = resolve(request, REGISTRY).rows[0].matcher
    assert named is not None
    return named.component


def test_a_source_is_given_by_name_or_by_a_table_and_comes_back_from_a_recipe() -> None:
    assert matcher_of().networks == Fresh()
    assert matcher_of(("matcher.networks", "pool")).networks == Pool()
    asked = Request(method=["dm"], set={"matcher.networks": {"name": "pool", "size": 3}})
    experiment = resolve(asked, REGISTRY)
    assert experiment.rows[0].matcher.component.networks == Pool(size=3)  # type: ignore[union-attr]
    again = Request.from_table(tomllib.loads(experiment.to_toml()), "the recipe")
    assert resolve(again, REGISTRY).rows == experiment.rows


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("puol", "unknown network_source 'puol'; did you mean 'pool'"),
        ({"name": "pool", "sise": 3}, r"matcher distribution.networks has no option 'sise'; did you mean 'size'"),
        ({"size": 3}, r"matcher distribution.networks must be a name, or a table with a name \(known: fresh, frozen"),
        ({"name": "pool", "size": 0}, "matcher distribution.networks.size must be greater than or equal to 1"),
        ({"name": "pool", "siamese": "blur"}, "'blur' is no siamese augmentation"),
    ],
)
def test_what_is_no_source_is_refused_in_a_sentence(given: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        matcher_of(("matcher.networks", given))


def test_who_asks_the_teacher_itself_takes_no_other_networks() -> None:
    with pytest.raises(ValueError, match="BatchNormMatching asks the teachers themselves"):
        BatchNormMatching(networks=Fresh())


def test_a_source_is_part_of_the_matchers_identity() -> None:
    plain, other, more = (identity(DistributionMatching(networks=each)) for each in (Fresh(), Pool(), Fresh(period=2)))
    assert plain["options"]["networks"] != other["options"]["networks"] != more["options"]["networks"]
    frozen = identity(DistributionMatching(networks=REGISTRY.get("network_source", "frozen")()))
    assert frozen["code"] == identity(DistributionMatching())["code"], "its module imports them: no other code"


def test_groups_are_stacked_only_where_all_see_the_same_networks_and_images_alone_are_learned(problem: Problem) -> None:
    class Stackable(DistributionMatching):
        stackable = True

    plan, compute = Constant(iterations=2, group_size=5).plan(problem), Compute("cpu", "fp32", 4)
    frozen = REGISTRY.get("network_source", "frozen")()
    assert max(map(len, stacks(plan, Stackable(networks=frozen), compute, 8))) == 4
    assert max(map(len, stacks(plan, Stackable(), compute, 8))) == 1
    rates = {"images": Curve.constant(0.1), "labels": Curve.constant(0.1)}
    phase = plan.groups[0].phases[0].model_copy(update={"rates": rates})
    groups = tuple(group.model_copy(update={"phases": (phase,)}) for group in plan.groups)
    learns = (Learned(what="images"), Learned(what="labels", start=1.0))
    soft = plan.model_copy(update={"groups": groups, "learns": learns})
    assert max(map(len, stacks(soft, Stackable(networks=frozen), compute, 8))) == 1


def test_fresh_stays_for_its_period(problem: Problem) -> None:
    networks = Fresh(period=2).bind(problem, 0)
    weights = [next(networks.at(t, lambda: (torch.empty(0), torch.empty(0))).parameters()).clone() for t in range(4)]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[2], weights[3])
    assert not torch.equal(weights[1], weights[2])
    other = next(Fresh(period=2).bind(problem, 1).at(0, lambda: (torch.empty(0), torch.empty(0))).parameters())
    assert not torch.equal(weights[0], other), "each group draws its own"


def test_interpolated_lies_between_the_first_and_last_weights_of_an_expert(problem: Problem) -> None:
    source = Interpolated(experts=1, epochs=1)
    (expert,) = (problem.prepared(what) for what in source.prepares(problem))
    network = source.bind(problem, 0).at(3, lambda: (torch.empty(0), torch.empty(0)))
    shares = []
    for name, weight in network.named_parameters():
        first, last = expert[f"first.{name}"], expert[f"last.{name}"]
        far = (last - first).abs() > 1e-3
        shares.append(((weight - first) / (last - first))[far].flatten())
    share = torch.cat(shares)
    assert len(share) > 100 and share.min() >= 0 and share.max() <= 1 and share.max() - share.min() < 1e-2


def test_real_images_and_the_training_of_networks_count_as_cost(problem: Problem) -> None:
    group = Constant(iterations=10, order="class").plan(problem).groups[0]
    cost = passes_of(
        problem, [group], DistributionMatching(real_batch=5, networks=Pool(steps=2, batch=7, model="wrn_16_2"))
    )
    of_set = Pool(epochs=2, batch=7, trained_on="current")
    assert of_set.passes(problem, group.phases[0]) == 10 * 2 * problem.num_images
    expected = Passes("wrn_16_2", "pixels", 400 + 10 * 10 * 5 / 3), Passes("wrn_16_2", "training", 10 * 2 * 7)
    assert [each[:3] for each in cost] == [each[:3] for each in expected]


def test_an_experts_rate_falls_as_it_is_asked(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    monkeypatch.setattr(
        Interpolated,
        "step",
        lambda _self, _problem, _network, optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]),
    )
    steps = 3 * (len(problem.data.train) // 64)
    for decay, wanted in {
        "linear": [0.02 * (1 - done / steps) for done in range(steps)],
        "steps": [
            0.02 * (1 if done < steps * 2 / 3 else 0.2 if done < steps * 5 / 6 else 0.04) for done in range(steps)
        ],
    }.items():
        rates.clear()
        (what,) = Interpolated(experts=1, epochs=3, batch=64, learning_rate=0.02, decay=decay).prepares(problem)
        problem.prepared(what)
        assert rates == pytest.approx(wanted)


class AsksForTheSame(Matcher):
    """Pulls images to real ones that were augmented alike."""

    def bind(self, problem: Problem) -> Match:
        real, _ = RealBatches(problem).at(torch.arange(3))

        def match(views: Views) -> dict[str, Tensor]:
            return {"pull": (views.images.mean() - views.augment(real).mean()).square().view(1)}

        return match


def test_one_draw_is_for_real_images_too_and_own_draws_are_not(problem: Problem) -> None:
    start = Latents.of(problem, Real().initialize(problem, range(problem.num_classes)))
    plan = Constant(iterations=1, order="class", siamese="color_crop_cutout_scale_rotate").plan(problem)
    drawn = draws(problem, plan, [0], (5,), 0.3, 40)
    images = start.images["images"]
    torch.testing.assert_close(drawn.again(images), drawn.apply(images))
    assert not torch.equal(drawn.apply(images), images)
    each = Constant(iterations=1, order="class", views="image").plan(problem)
    with pytest.raises(RunError, match=r"no one draw for real images .* --set scheduler.views=group"):
        recover_group(problem, start, each, 0, AsksForTheSame(), lambda _done, _terms: None)
    still = Constant(iterations=1, order="class", views="image", crop="none", flip=False).plan(problem)
    recover_group(problem, start, still, 0, AsksForTheSame(), lambda _done, _terms: None)


def test_balanced_terms_have_gradients_of_one_length() -> None:
    images = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    halves = images.chunk(2)
    terms = {
        "first": torch.stack([half.square().sum() for half in halves]),
        "second": torch.stack([100 * half.sum() for half in halves]),
        "flat": images.detach().sum().expand(2),
    }
    weights = balanced(squared_lengths(terms, images, 2, {}))
    lengths = {
        name: torch.autograd.grad((weights[name] * terms[name]).sum(), images, retain_graph=True)[0]
        .flatten(1)
        .view(2, -1)
        for name in weights
    }
    assert set(weights) == {"first", "second"}
    torch.testing.assert_close(lengths["first"].norm(dim=1), lengths["second"].norm(dim=1))


def test_a_loss_has_the_gradients_that_it_is_given() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    doubled = 2 * x
    (gradient,) = torch.autograd.grad(3 * with_gradient(torch.tensor([7.0]), {doubled: torch.tensor([1.0, 10.0])}), x)
    assert gradient.tolist() == [6.0, 60.0]
    with pytest.raises(ValueError, match="one element"):
        with_gradient(torch.zeros(2), {x: x})
    with pytest.raises(ValueError, match="not of its tensor's shape"):
        with_gradient(torch.zeros(()), {x: torch.zeros(3)})


def test_a_network_is_a_function_of_its_parameters(problem: Problem) -> None:
    network, images = drawn_network(problem, "convnet3_in", "a"), RealBatches(problem).at(torch.arange(4))[0]
    of = parameters(network)
    torch.testing.assert_close(logits(problem, network, images, of), logits(problem, network, images))
    of["classifier.bias"] = of["classifier.bias"] + 1
    torch.testing.assert_close(logits(problem, network, images, of), logits(problem, network, images) + 1)
    with isolated_rng(problem.seed, "a"):
        assert torch.equal(next(network.parameters()), next(drawn_network(problem, "convnet3_in").parameters()))


def test_experts_are_steps_that_a_run_prepares_once(tmp_path: Path) -> None:
    source = '{"name": "interpolated", "experts": 1, "epochs": 1}'
    options = [
        "dataset.image_size=8",
        "teacher.epochs=1",
        "scheduler.iterations=4",
        "protocol.epochs=1",
        "matcher.real_batch=8",
    ]
    sets = [part for option in [*options, f"matcher.networks={source}"] for part in ("--set", option)]
    command = [
        "run",
        "--method",
        "dm",
        "--no-controls",
        "--ipc",
        "1",
        "--seeds",
        "2",
        *sets,
        "--out",
        str(tmp_path / "run"),
    ]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "store" / "prepare").iterdir())) == 1
    assert len(list((tmp_path / "store" / "recover").iterdir())) == 2


def test_a_rate_that_nobody_gave_is_asked_for(problem: Problem) -> None:
    start = Latents.of(problem, Real().initialize(problem, range(problem.num_classes)))
    plan = Constant(iterations=1, order="class").plan(problem)
    phase = Phase(active=40, iterations=1, rates={"images": Curve.constant(0.1), "learning_rate": Curve.constant(0.1)})
    learns = (Learned(what="images"), Learned(what="learning_rate"))
    group = plan.groups[0].model_copy(update={"phases": (phase,)})
    plan = plan.model_copy(update={"groups": (group,), "learns": learns})
    with pytest.raises(RunError, match=r"give Learned\(what='learning_rate', start=…\)"):
        recover_group(problem, start, plan, 0, DistributionMatching(), lambda _done, _terms: None)
    given = Latents(start.images, start.targets, learning_rate=torch.tensor(0.1))
    with pytest.raises(RunError, match="no gradient reaches the learning_rate"):
        recover_group(problem, given, plan, 0, DistributionMatching(real_batch=8), lambda _done, _terms: None)
