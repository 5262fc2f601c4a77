"""Each matcher of batch matching beside a plain loop that was written from its formula: the loss, and steps on the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host.basics.compute import Compute
from delt_host.basics.errors import RunError
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.matcher import Matcher, Views
from delt_host.contracts.problem import Problem
from delt_host.networks.build import build_model
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from delt_host.recovery.views import draws
from delt_plugins.batch_matching.characteristic import CharacteristicFunctions, characteristic_distance
from delt_plugins.batch_matching.clusters import nearest_to_centres
from delt_plugins.batch_matching.gradients import GradientMatching
from delt_plugins.batch_matching.means import ClassifiedMeans
from delt_plugins.batch_matching.pairs import Anchors, Pairs, anchors_of
from delt_plugins.batch_matching.whole_set import WholeSet
from delt_plugins.controls.real import Real
from delt_plugins.delt.true_class import true_class_scores
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.kit import views_of
from delt_plugins.sources.fresh import Fresh
from delt_plugins.sources.trained import Interpolated, Pool

NETWORK, REAL, RATE = "convnet3_in", 6, 0.05
Loss = Callable[[Problem, nn.Module, Views], Tensor]


@pytest.fixture
def exact(problem: Problem) -> Problem:
    """In float32, as the plain loops compute."""
    return replace(problem, compute=Compute("cpu", "fp32"))


def network_at(problem: Problem, iteration: int) -> nn.Module:
    """As `fresh` draws it."""
    with isolated_rng(problem.seed, "networks", 0, iteration, "weights"):
        return build_model(NETWORK, problem.num_classes, problem.image_size, problem.models).train()


def real_of(problem: Problem, views: Views, labels: list[int], *purpose: int) -> tuple[Tensor, Tensor]:
    """Under the step's draw."""
    chosen, rng = [], views.generator("real", *purpose)
    for label in labels:
        members = problem.data.train.of_class(label)
        chosen.append(members[torch.randperm(len(members), generator=rng)[:REAL]])
    images = problem.data.train.read(torch.cat(chosen)).float() / 255
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (problem.data.mean, problem.data.std))
    return views.augment((images - mean) / std), torch.tensor(labels).repeat_interleave(REAL)


def weight_gradients(network: nn.Module, images: Tensor, targets: Tensor, convolutions: bool) -> list[Tensor]:
    """Of matrices and convolutions, or of convolutions alone, by autograd with a graph."""
    loss = F.cross_entropy(network(images), targets)
    own = [each for each in network.parameters() if each.ndim >= (4 if convolutions else 2)]
    return list(torch.autograd.grad(loss, own, create_graph=True))


def rows(given: Tensor, wanted: Tensor) -> Tensor:
    total = torch.zeros(())
    for mine, theirs in zip(given.flatten(1), wanted.flatten(1), strict=True):
        total = total + 1 - torch.dot(mine, theirs) / (mine.norm() * theirs.norm() + 1e-6)
    return total


def dc(problem: Problem, network: nn.Module, views: Views) -> Tensor:
    """The sum over classes and weights of 1 - cos of rows."""
    total = torch.zeros(())
    for label in range(problem.num_classes):
        own = views.targets == label
        images, classes = real_of(problem, views, [label], label)
        wanted = [each.detach() for each in weight_gradients(network, images, classes, False)]
        given = weight_gradients(network, views.images[own], views.targets[own], False)
        total = total + sum(rows(*pair) for pair in zip(given, wanted, strict=True))
    return total


def idc(problem: Problem, network: nn.Module, views: Views) -> Tensor:
    """The sum of squared differences of convolutions' gradients."""
    total = torch.zeros(())
    for label in range(problem.num_classes):
        own = views.targets == label
        images, classes = real_of(problem, views, [label], label)
        wanted = [each.detach() for each in weight_gradients(network, images, classes, True)]
        given = weight_gradients(network, views.images[own], views.targets[own], True)
        total = total + sum(((mine - theirs) ** 2).sum() for mine, theirs in zip(given, wanted, strict=True))
    return total


def dcc(problem: Problem, network: nn.Module, views: Views) -> Tensor:
    """1 - cos of rows of the mean over classes and the gradient of the whole set."""
    sums: list[Tensor] = []
    for label in range(problem.num_classes):
        images, classes = real_of(problem, views, [label], label)
        own = [each.detach() / problem.num_classes for each in weight_gradients(network, images, classes, False)]
        sums = [a + b for a, b in zip(sums, own, strict=True)] if sums else own
    given = weight_gradients(network, views.images, views.targets, False)
    return torch.stack([rows(*pair) for pair in zip(given, sums, strict=True)]).sum()


def mean_features(problem: Problem, network: nn.Module, views: Views, classifier: nn.Module | None = None) -> Tensor:
    """IDM's: squared distance of means, and half the accuracy times the cross-entropy; with a classifier half of its."""
    images, classes = real_of(problem, views, list(range(problem.num_classes)))
    theirs, own = network.features(images).flatten(1).detach(), network.features(views.images).flatten(1)
    total = torch.zeros(())
    for label in range(problem.num_classes):
        apart = own[views.targets == label].mean(0) - theirs[classes == label].mean(0)
        total = total + (apart**2).sum()
    right = (network(images).argmax(1) == classes).float().mean() if classifier is None else 1.0
    told = (classifier or network)(views.images)
    return total + 0.5 * right * problem.num_classes * F.cross_entropy(told, views.targets)


def dance(problem: Problem, network: nn.Module, views: Views) -> Tensor:
    """The same, classes told by one of the experts with its last weights."""
    chosen = int(torch.randint(2, (1,), generator=views.generator("classifier")))
    kept = problem.prepared(EXPERTS.prepares(problem)[chosen])
    with isolated_rng(0, "expert"):  # layers draw weights, which kept ones then replace
        expert = build_model(EXPERTS.model, problem.num_classes, problem.image_size, problem.models).train()
    expert.load_state_dict({name.removeprefix("last."): each for name, each in kept.items() if "last." in name})
    return mean_features(problem, network, views, expert)


def ncfm(problem: Problem, network: nn.Module, views: Views) -> Tensor:
    """With complex numbers, one class after the other."""
    images, classes = real_of(problem, views, list(range(problem.num_classes)))
    theirs, own = network.features(images).flatten(1).detach(), network.features(views.images).flatten(1)
    theirs, own = theirs / theirs.norm(dim=1, keepdim=True), own / own.norm(dim=1, keepdim=True)
    rng = problem.generator("frequencies", views.iteration)
    t = torch.randn(32, own.shape[1], generator=rng).double()
    theirs, own = theirs.double(), own.double()
    total = torch.zeros(())
    for label in range(problem.num_classes):
        p = torch.exp(1j * (theirs[classes == label] @ t.T)).mean(0)
        q = torch.exp(1j * (own[views.targets == label] @ t.T)).mean(0)
        real = (p * q.conj()).real
        apart = 0.5 * (p.abs() - q.abs()) ** 2 + 0.5 * 2 * (p.abs() * q.abs() - real)
        total = total + 300 * torch.sqrt(apart.clamp_min(0) + 1e-12).mean().float()
    return total + problem.num_classes * F.cross_entropy(network(views.images), views.targets)


FRESH = Fresh(model=NETWORK)
EXPERTS = Interpolated(model="convnet3_in_w32", experts=2, epochs=1, batch=1024)
CASES: dict[str, tuple[Matcher, Loss]] = {
    "dc": (GradientMatching(networks=FRESH, real_batch=REAL), dc),
    "idc": (GradientMatching(networks=FRESH, real_batch=REAL, distance="squared", layers="convolutions"), idc),
    "dcc": (GradientMatching(networks=FRESH, real_batch=REAL, contrastive_from=0), dcc),
    "idm": (ClassifiedMeans(networks=FRESH, real_batch=REAL), mean_features),
    "dance": (ClassifiedMeans(networks=EXPERTS, real_batch=REAL, weighted_by="one"), dance),
    "ncfm": (CharacteristicFunctions(networks=FRESH, real_batch=REAL, frequencies=32), ncfm),
}

AUGMENTED = ("idc", "idm", "ncfm")
"""One of each matcher."""


@pytest.mark.parametrize(
    ("name", "siamese"), [*((name, "") for name in CASES), *((name, "color") for name in AUGMENTED)]
)
def test_the_loss_and_a_step_are_the_plain_loops(exact: Problem, name: str, siamese: str) -> None:
    matcher, loss = CASES[name]
    start = Latents.of(exact, Real().initialize(exact, range(exact.num_classes)))
    plan = WholeSet(iterations=3, learning_rate=RATE, turns="together", siamese=siamese).plan(exact)
    found = recover_group(exact, start, plan, 0, matcher, lambda _done, _terms: None)

    pixels = start.images["images"].clone().requires_grad_(True)
    optimizer = torch.optim.SGD([pixels], lr=RATE, momentum=0.5)
    low, high = exact.normalization.pixel_bounds()
    losses, networks = [], matcher.networks.bind(exact, 0)
    for iteration in range(3):
        drawn = draws(exact, plan, (0,), (iteration,), 1.0, len(pixels))
        views = views_of(
            exact, drawn.apply(pixels), start.targets, iteration, network=nn.Identity(), augment=drawn.again
        )
        value = loss(exact, networks.at(iteration, views.current).requires_grad_(True), views)
        (pixels.grad,) = torch.autograd.grad(value, pixels)
        optimizer.step()
        with torch.no_grad():
            pixels.copy_(torch.minimum(torch.maximum(pixels, low), high))
        losses.append(float(value.detach()))
    curves = [curve for term, curve in found.curves.items() if term != "iteration"]
    assert [sum(each) for each in zip(*curves, strict=True)] == pytest.approx(losses, rel=1e-3)
    made = found.latents.images["images"]
    moved = (pixels.detach() - start.images["images"]).abs().mean()
    assert moved > 1e-6
    assert (made - pixels.detach()).abs().mean() < 0.02 * moved


@pytest.mark.parametrize("name", ["dc", "idc", "idm", "ncfm"])
def test_a_step_after_each_class_is_the_step_of_all(exact: Problem, name: str) -> None:
    """Where the loss is a sum over classes; so each class may have a draw of its own."""
    matcher, _ = CASES[name]
    if isinstance(matcher, ClassifiedMeans):  # the accuracy is of the step's real images
        matcher = matcher.model_copy(update={"weighted_by": "one"})
    start = Latents.of(exact, Real().initialize(exact, range(exact.num_classes)))

    def made(turns: str) -> Tensor:
        plan = WholeSet(iterations=1, learning_rate=RATE, turns=turns).plan(exact)
        return recover_group(exact, start, plan, 0, fixed(matcher), lambda _done, _terms: None).latents.images["images"]

    apart = (made("by class") - made("together")).abs().mean()
    assert apart < 1e-3 * (made("together") - start.images["images"]).abs().mean()


def fixed(matcher: Matcher) -> Matcher:
    """With all of a class for its real images: whose draw, which is by turn, is then of one set."""
    return matcher.model_copy(update={"real_batch": 10_000})


def test_gradients_of_single_classes_are_no_sum_of_all(exact: Problem) -> None:
    start = Latents.of(exact, Real().initialize(exact, range(exact.num_classes)))
    plan = WholeSet(iterations=1, turns="by class").plan(exact)
    with pytest.raises(RunError, match="contrastive_from sums all classes of a step, .* set scheduler.turns=together"):
        recover_group(exact, start, plan, 0, CASES["dcc"][0], lambda _done, _terms: None)


def test_passes_of_synthetic_and_real_images(exact: Problem) -> None:
    """40 images in ten classes: a class at a time through second derivatives, back once through features, never through real
    ones'."""
    (phase,) = WholeSet(iterations=10, turns="together").plan(exact).groups[0].phases
    experts, fewest = Interpolated(model=NETWORK), len(exact.data.train)
    for matcher, wanted in (
        (GradientMatching(networks=Pool(model=NETWORK), real_batch=5), 10 * (5 * 40 + 1.3 * 50)),
        (
            GradientMatching(networks=FRESH, real_batch=5, contrastive_from=4),
            4 * (5 * 40 + 1.3 * 50) + 6 * (6.3 * 40 + 1.3 * 50),
        ),
        (GradientMatching(networks=FRESH, real_batch=5, clustered_every=4), 10 * (5 * 40 + 1.3 * 50) + 3 * fewest / 3),
        (ClassifiedMeans(networks=FRESH, real_batch=6), 10 * (40 + 60 / 3)),
        (ClassifiedMeans(networks=experts, real_batch=6), 10 * (2 * 40 + 60 / 3)),
        (ClassifiedMeans(networks=experts, real_batch=6, classify=0.0), 10 * (40 + 60 / 3)),
        (CharacteristicFunctions(networks=FRESH, real_batch=10_000), 10 * (40 + fewest / 3)),
        (CharacteristicFunctions(networks=experts, real_batch=6), 10 * (2 * 40 + 60 / 3)),
    ):
        assert matcher.passes(exact, phase) == pytest.approx(wanted), matcher
        kept = 5 + 2 * 40 / 10 if isinstance(matcher, GradientMatching) else wanted / 10
        assert matcher.at_once(exact, phase) == pytest.approx(kept), matcher


def test_pairs_are_each_cell_and_the_image_that_it_began_as(exact: Problem) -> None:
    exact = exact.in_form(Mosaic())
    start = Anchors().initialize(exact, range(exact.num_classes))
    latents = Latents.of(exact, start)
    decoded = exact.form.decode(latents.images)
    targets = exact.targets()
    (value,) = Pairs().bind(exact)(views_of(exact, decoded, targets)).values()
    network, total = exact.network, torch.zeros(())
    real = exact.normalization.normalize(start.images)
    for image, anchor in zip(decoded, real, strict=True):
        total = total + (network.features(image[None]) - network.features(anchor[None])).abs().mean()  # type: ignore[operator]
    assert float(value) == pytest.approx(float(total), rel=1e-3)


def test_amplitudes_and_phases_are_weighed_as_the_formula_has_it() -> None:
    rng = torch.Generator().manual_seed(0)
    real, given = torch.randn(40, 16, generator=rng).double(), torch.randn(5, 16, generator=rng).double() + 0.3
    p, q = torch.exp(1j * real).mean(0), torch.exp(1j * given).mean(0)
    for share in (0.0, 0.3, 0.5, 1.0):
        phases = 2 * (p.abs() * q.abs() - (p * q.conj()).real)
        wanted = torch.sqrt(share * (p.abs() - q.abs()) ** 2 + (1 - share) * phases).mean()
        assert float(characteristic_distance(real, given, share)) == pytest.approx(float(wanted), rel=1e-5)


def test_anchors_are_the_surest_of_their_class(exact: Problem) -> None:
    scores = exact.prepared(true_class_scores(exact))["scores"]
    chosen = anchors_of(exact, 3, scores)
    members = exact.data.train.of_class(3)
    assert len(chosen) == exact.count and set(chosen.tolist()) <= set(members.tolist())
    assert scores[chosen].min() >= scores[members].median(), "of 300 drawn ones, more than half of the class"
    assert scores[chosen].diff().le(0).all()


def test_clusters_give_each_image_once_and_one_for_each_far_group() -> None:
    groups = torch.tensor([[0.0, 0], [50, 0], [0, 50], [50, 50]])
    points = (groups[:, None] + torch.randn(4, 20, 2, generator=torch.Generator().manual_seed(0))).flatten(0, 1)
    chosen = nearest_to_centres(points, 4, torch.Generator().manual_seed(1))
    assert sorted((chosen // 20).tolist()) == [0, 1, 2, 3]
    assert nearest_to_centres(points[:3], 4, torch.Generator()).tolist() == [0, 1, 2]


def test_clustered_images_stay_until_they_are_chosen_anew(exact: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    matcher = GradientMatching(networks=FRESH, real_batch=4, clustered_every=2, clustered_from=30)
    start = Latents.of(exact, Real().initialize(exact, range(exact.num_classes)))
    memory: dict[str, Tensor] = {}
    match, chosen = matcher.bind(exact), []
    for iteration in range(4):
        pixels = start.images["images"].clone().requires_grad_(True)
        network = network_at(exact, iteration).requires_grad_(False)
        match(views_of(exact, pixels, start.targets, iteration, network=network, memory=memory))
        chosen.append({name: each.tolist() for name, each in memory.items()})
    assert chosen[0] == chosen[1] != chosen[2] == chosen[3]
    again = matcher.bind(exact)  # after a kill, with what the checkpoint has
    again(views_of(exact, pixels, start.targets, 3, network=network, memory=memory))
    assert {name: each.tolist() for name, each in memory.items()} == chosen[3]
