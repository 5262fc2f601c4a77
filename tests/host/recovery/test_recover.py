"""Recovery against a slow, plain loop written from the formulas, and against plugins that break the contract."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor

from conftest import make_problem
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.seeding import isolated_rng
from delt_host.cli import cli
from delt_host.contracts.dataset import RealData
from delt_host.contracts.matcher import Match, Matcher, Views
from delt_host.contracts.plan import Learned, Plan
from delt_host.contracts.problem import Problem
from delt_host.contracts.teacher import Teacher
from delt_host.images.augment import draw_crops
from delt_host.networks.build import build_model
from delt_host.recovery.latents import Latents
from delt_host.recovery.learning import Optimiser
from delt_host.recovery.loop import Recovered, assemble, check_plan, recover_group, recover_stack, stacks
from delt_host.toolbox.statistics import batch_norms, channel_moments, recorded_inputs, recorded_moments
from delt_plugins.delt.early_late import EarlyLate
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.kit import views_of
from delt_plugins.sre2l.batch_norm import BatchNormMatching
from delt_plugins.sre2l.noise import Noise
from delt_plugins.sre2l.schedule import Constant

# Adam's first steps have the gradient's sign alone, so where it is almost nothing float noise decides: at a small rate
# such pixels stay near each other and the two loops can be compared over more than one iteration.
RATE = 0.01


def begun(problem: Problem) -> Latents:
    """Noise, as what is optimised."""
    return Latents.of(problem, Noise().initialize(problem, range(problem.num_classes)))


def pixels(of: Recovered | Latents) -> Tensor:
    return (of.latents if isinstance(of, Recovered) else of).images["images"]


def silent(_done: int, _terms: Mapping[str, float]) -> None:
    return None


def plain_recovery(problem: Problem, start: Latents, plan: Plan, index: int) -> tuple[Tensor, list[dict[str, float]]]:
    """The published loop: one torch Adam over all images of the group, hooks with mean and var, views by torchvision."""
    group = plan.groups[index]
    pixels = start.images["images"][list(group.images)].clone().requires_grad_(True)
    targets = start.targets[list(group.images)]
    optimizer = torch.optim.Adam([pixels], lr=RATE, betas=(0.5, 0.9), eps=1e-8)
    layers = [m for m in problem.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _m, args, _out: seen.append(args[0])) for layer in layers]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (problem.teacher.mean, problem.teacher.std))
    size, iteration, history = problem.image_size, 0, []
    for phase in group.phases:
        for _ in range(phase.iterations):
            rng = problem.generator("view", index, iteration)
            active = pixels[: phase.active]
            shared = active.split(len(active) if plan.views == "group" else 1)
            boxes = draw_crops(rng, len(shared), size, (phase.min_crop.at(iteration), 1.0)).tolist()
            flips = (torch.rand(len(shared), generator=rng) < 0.5).tolist()
            shifts = [[0] * len(shared)] * 2
            if plan.roll != (0, 0):
                shifts = torch.randint(plan.roll[0], plan.roll[1] + 1, (2, len(shared)), generator=rng).tolist()
            views = []
            for part, box, flip, down, right in zip(shared, boxes, flips, *shifts, strict=True):
                crop = TF.resized_crop(part, *box, [size, size], antialias=True)
                views.append((crop.flip(-1) if flip else crop).roll((down, right), dims=(2, 3)))
            view = torch.cat(views)
            seen.clear()
            logits = problem.network(view)
            entropy = F.cross_entropy(logits, targets[: phase.active])
            mean_term, variance_term = torch.zeros(()), torch.zeros(())
            for place, (layer, x) in enumerate(zip(layers, seen, strict=True)):
                scale = 10.0 if place == 0 else 1.0
                mean_term = mean_term + scale * torch.norm(x.mean((0, 2, 3)) - layer.running_mean)
                variance = x.var((0, 2, 3), unbiased=False)
                variance_term = variance_term + scale * torch.norm(variance - layer.running_var)
            loss = entropy + 0.01 * (mean_term + variance_term)
            history.append(
                {
                    "cross-entropy": entropy.item(),
                    "mean": 0.01 * mean_term.item(),
                    "variance": 0.01 * variance_term.item(),
                }
            )
            optimizer.param_groups[0]["lr"] = phase.rates["images"].at(iteration)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                pixels.copy_(torch.minimum(torch.maximum(pixels, (0 - mean) / std), (1 - mean) / std))
            iteration += 1
    for hook in hooks:
        hook.remove()
    return pixels.detach(), history


@pytest.mark.parametrize(
    "scheduler",
    [
        Constant(iterations=12, learning_rate=RATE),
        Constant(iterations=12, learning_rate=RATE, crop="cosine", roll=(0, 3)),
        EarlyLate(iterations=16, learning_rate=RATE, round_iterations=4),
        EarlyLate(iterations=16, learning_rate=RATE, round_iterations=4, views="image", roll=(-2, 2), phases="round"),
    ],
    ids=["sre2l", "cda", "delt", "delt, views of each image, complete phases"],
)
def test_same_losses_and_pixels_as_the_plain_loop(problem: Problem, scheduler: Constant | EarlyLate) -> None:
    start = begun(problem)
    plan = scheduler.plan(problem)
    result = recover_group(problem, start, plan, 0, BatchNormMatching(), silent)
    expected, history = plain_recovery(problem, start, plan, 0)
    for name, values in result.curves.items():
        if name != "iteration":
            plain = [history[t][name] for t in result.curves["iteration"]]
            assert values == pytest.approx(plain, rel=1e-3, abs=1e-4), name
    moved = (pixels(result) - pixels(start)[list(plan.groups[0].images)]).abs().mean()
    assert (pixels(result) - expected).abs().mean() < 0.01 * moved


def test_early_late_leaves_late_images_alone_until_they_join(problem: Problem) -> None:
    start = begun(problem)
    whole = EarlyLate(iterations=16, round_iterations=4).plan(problem)
    group = whole.groups[0]
    first_round = whole.model_copy(update={"groups": (group.model_copy(update={"phases": group.phases[:1]}),)})
    result = recover_group(problem, start, first_round, 0, BatchNormMatching(), silent)
    before, after = pixels(start)[list(group.images)], pixels(result)
    active = group.phases[0].active
    low, high = problem.normalization.pixel_bounds()
    assert torch.equal(after[active:], before[active:].clamp(low, high))
    assert not torch.equal(after[:active], before[:active])


def test_fresh_moments_are_an_adam_of_the_joiners_own(problem: Problem) -> None:
    """With `fresh`, an image that joins late moves as under an Adam that starts with it."""
    tensors = {"images": torch.zeros(1, 2, 3, 4, 4)}
    gradients = [torch.randn(1, 2, 3, 4, 4, generator=problem.generator("g", t)) for t in range(6)]
    ours = Optimiser(tensors, Learned(what="images"), fresh=True)
    late = torch.zeros(1, 3, 4, 4, requires_grad=True)
    reference = torch.optim.Adam([late], lr=0.1, betas=(0.5, 0.9))
    for step, gradient in enumerate(gradients):
        active = 1 if step < 3 else 2
        ours.step({"images": gradient[:, :active]}, 0.1, slice(0, active))
        if step >= 3:
            late.grad = gradient[0, 1:2]
            reference.step()
    torch.testing.assert_close(tensors["images"][0, 1:2], late.detach(), atol=1e-6, rtol=1e-5)


def test_groups_do_not_depend_on_each_other(problem: Problem) -> None:
    start = begun(problem)
    plan = Constant(iterations=3).plan(problem)
    alone = pixels(recover_group(problem, start, plan, 2, BatchNormMatching(), silent))
    for index in (0, 1):
        recover_group(problem, start, plan, index, BatchNormMatching(), silent)
    assert torch.equal(alone, pixels(recover_group(problem, start, plan, 2, BatchNormMatching(), silent)))


@pytest.mark.parametrize(
    "scheduler",
    [
        Constant(iterations=6, learning_rate=RATE, group_size=5, crop="cosine", roll=(0, 3)),
        EarlyLate(iterations=16, learning_rate=RATE, group_size=8, views="image", moments="fresh"),
    ],
    ids=["cda", "delt"],
)
def test_stacks_of_groups_make_the_same_images(problem: Problem, scheduler: Constant | EarlyLate) -> None:
    start, matcher = begun(problem), BatchNormMatching()
    plan = scheduler.plan(problem)
    alone = [recover_group(problem, start, plan, index, matcher, silent) for index in range(len(plan.groups))]
    for size in (1, 2, 5):
        together = stacks(plan, matcher, Compute("cpu", "fp32", size), 8)
        assert max(len(stack) for stack in together) == min(size, len(plan.groups))
        for stack in together:
            for index, result in zip(stack, recover_stack(problem, start, plan, stack, matcher, silent), strict=True):
                moved = (pixels(alone[index]) - pixels(start)[list(plan.groups[index].images)]).abs().mean()
                assert (pixels(result) - pixels(alone[index])).abs().mean() < 0.01 * moved, (size, index)
                for name, values in alone[index].curves.items():
                    assert result.curves[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name


def test_mosaics_are_optimised_as_units_and_seen_as_images(problem: Problem) -> None:
    """Four images of each unit in a pass, views of their own; late units wait; a stack makes what each group makes alone."""
    mosaics = problem.in_form(Mosaic())
    shape = (mosaics.num_images, 3, 8, 8)
    start = Latents(
        mosaics.form.latents(torch.randn(shape, generator=problem.generator("mosaics"))), mosaics.unit_targets()
    )
    scheduler = EarlyLate(iterations=16, learning_rate=RATE, group_size=20, views="image")
    plan, matcher = scheduler.plan(mosaics), Watched()
    together = recover_stack(mosaics, start, plan, (0, 1), matcher, silent)
    group = plan.groups[0]
    first = [unit * 4 + cell for unit in group.images[: group.phases[0].active] for cell in range(4)]
    assert SEEN[0][: len(SEEN[0]) // 2].tolist() == first
    for index, result in enumerate(together):
        alone = pixels(recover_group(mosaics, start, plan, index, matcher, silent))
        moved = (alone - pixels(start)[list(plan.groups[index].images)]).abs().mean()
        assert alone.shape[0] == 20 and (pixels(result) - alone).abs().mean() < 0.01 * moved


SEEN: list[Tensor] = []


class Watched(BatchNormMatching):
    """Notes the places of the images that it is shown."""

    def bind(self, problem: Problem) -> Match:
        match = super().bind(problem)

        def noted(views: Views) -> Mapping[str, Tensor]:
            SEEN.append(views.index)
            assert len(views.images) == len(views.targets) == len(views.index)
            assert torch.equal(problem.targets()[views.index], views.targets)
            return match(views)

        return noted


def test_only_neighbours_that_are_alike_are_stacked_and_only_for_matchers_that_take_them(problem: Problem) -> None:
    plan = Constant(iterations=2, group_size=4).plan(problem)  # each rank's ten images as groups of 4, 4 and 2
    five = Compute("cpu", "fp32", 5)
    assert stacks(plan, BatchNormMatching(), five, 8)[:4] == [(0, 1), (2,), (3, 4), (5,)]
    assert stacks(plan, Broken(how="nan"), five, 8) == [(index,) for index in range(len(plan.groups))]


def test_by_default_small_images_are_stacked_up_to_a_pass_and_large_ones_are_not(problem: Problem) -> None:
    compute = Compute("cpu", "fp32")
    assert [compute.groups_at_once(*of) for of in ((100, 32), (10, 32), (600, 32), (100, 64))] == [5, 50, 1, 1]
    alone = Constant(iterations=1, group_size=10, order="class").plan(problem)
    assert stacks(alone, BatchNormMatching(), compute, 64) == [(index,) for index in range(len(alone.groups))]
    assert stacks(alone, BatchNormMatching(), compute, 8) == [tuple(range(len(alone.groups)))]


def test_pixels_stay_valid_colours(problem: Problem) -> None:
    plan = Constant(iterations=5, learning_rate=50.0).plan(problem)
    images = pixels(recover_group(problem, begun(problem), plan, 0, BatchNormMatching(), silent))
    low, high = problem.normalization.pixel_bounds()
    assert (images >= low - 1e-6).all() and (images <= high + 1e-6).all()


def test_progress_adds_up_to_the_plans_cost(problem: Problem) -> None:
    done: list[int] = []
    plan = EarlyLate(iterations=800, round_iterations=100).plan(make_problem(problem.data, problem.teacher, ipc=1))
    small = make_problem(problem.data, problem.teacher, ipc=1)
    recover_group(small, begun(small), plan, 0, BatchNormMatching(), lambda n, _: done.append(n))
    assert sum(done) == plan.image_iterations


def test_matching_is_per_group(problem: Problem) -> None:
    """Two groups in one call give the losses of two calls."""
    match = BatchNormMatching().bind(problem)
    start = begun(problem)
    halves = [pixels(start)[::2], pixels(start)[1::2]]
    targets = start.targets[::2]

    def views(images: Tensor, labels: Tensor, groups: int) -> Views:
        return views_of(problem, images, labels, groups=groups)

    together = match(views(torch.cat(halves), torch.cat([targets, targets]), 2))
    for place, half in enumerate(halves):
        alone = match(views(half, targets, 1))
        for name, value in alone.items():
            assert float(together[name][place]) == pytest.approx(float(value[0]), rel=1e-4), name


def test_moments_and_their_gradient_equal_var_mean() -> None:
    x = torch.randn(6, 5, 4, 4, dtype=torch.float32, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    weights = torch.arange(1.0, 6.0)
    mean, variance = channel_moments(x)
    plain_variance, plain_mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=False)
    torch.testing.assert_close(mean[0], plain_mean, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(variance[0], plain_variance, atol=1e-6, rtol=1e-5)
    (ours,) = torch.autograd.grad(((mean - 0.3) * weights).sum() + (variance * weights).square().sum(), x)
    loss = ((plain_mean - 0.3) * weights).sum() + (plain_variance * weights).square().sum()
    torch.testing.assert_close(ours, torch.autograd.grad(loss, x)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", ["resnet18", "efficientnet_b0", "timm:efficientnet_b0"])
@pytest.mark.parametrize("groups", [1, 2])
def test_recorded_moments_leave_the_network_as_it_is(model: str, groups: int) -> None:
    """Logits, moments and gradients equal those of the network with hooks, timm's activating BatchNorms among them."""
    with isolated_rng(0, "network"):
        network = build_model(model, 10, 32).eval().requires_grad_(False)
    rng = torch.Generator().manual_seed(0)
    for layer in batch_norms(network):
        for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
            tensor.copy_(torch.rand(tensor.shape, generator=rng) + 0.5)
    images = torch.randn(6, 3, 32, 32, generator=rng).requires_grad_(True)
    layers = batch_norms(network)
    with recorded_inputs(layers) as inputs:
        logits = network(images)
    expected = [torch.var_mean(x.unflatten(0, (groups, -1)), (1, 3, 4), correction=0) for x in inputs]
    loss = logits.square().mean() + sum((m - 1).norm() + (v - 1).norm() for v, m in expected)
    (gradient,) = torch.autograd.grad(loss, images)
    with recorded_moments(layers, groups) as found:
        same = network(images)
    mine = same.square().mean() + sum((m - 1).norm() + (v - 1).norm() for m, v in found)
    torch.testing.assert_close(same, logits, rtol=1e-3, atol=1e-4)
    for (mean, variance), (v, m) in zip(found, expected, strict=True):
        torch.testing.assert_close(mean, m, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(variance, v, rtol=1e-3, atol=1e-4)
    (again,) = torch.autograd.grad(mine, images)
    assert (again - gradient).abs().mean() < 1e-3 * gradient.abs().mean()
    assert torch.equal(network(images), logits), "the layers were not given back"


def test_a_constant_channel_has_variance_zero() -> None:
    _, variance = channel_moments(torch.full((4, 2, 3, 3), 0.5))
    assert torch.equal(variance, torch.zeros(1, 2))


class Broken(Matcher):
    how: str

    def bind(self, problem: Problem) -> Match:
        def match(views: Views) -> dict[str, Tensor]:
            value = views.images.square().mean()
            return {
                "nothing": {},
                "scalar": {"pull": value},
                "constant": {"pull": torch.zeros(1)},
                "nan": {"pull": (value * float("nan")).view(1)},
            }[self.how]

        return match


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nothing", "returned no loss term"),
        ("scalar", r"term 'pull' must have shape \(groups,\) = \(1,\), not \(\)"),
        ("constant", "no gradient reaches the images"),
        ("nan", "term 'pull' became nan in group 0 at iteration 0"),
    ],
)
def test_what_a_matcher_breaks_is_named(problem: Problem, how: str, message: str) -> None:
    plan = Constant(iterations=2).plan(problem)
    with pytest.raises(RunError, match=message):
        recover_group(problem, begun(problem), plan, 0, Broken(how=how), silent)


def test_batch_norm_matching_needs_batch_norm(digits: RealData, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem(digits, Teacher("plain", {}, digits.class_names, digits.mean, digits.std, 8))
    monkeypatch.setattr(Problem, "networks", (torch.nn.Flatten(),))
    with pytest.raises(InputError, match="needs a teacher with BatchNorm layers; plain has none"):
        BatchNormMatching().bind(problem)


def test_a_plan_whose_groups_overlap_is_refused(problem: Problem) -> None:
    plan = Constant(iterations=1).plan(problem)
    with pytest.raises(RunError, match="two groups"):
        check_plan(plan.model_copy(update={"groups": plan.groups + plan.groups[:1]}), problem.num_units)


def test_assembly_puts_images_back_in_order(problem: Problem) -> None:
    start = begun(problem)
    plan = EarlyLate(iterations=8).plan(problem)
    marked = [torch.stack([torch.full((3, 8, 8), float(i)) for i in group.images]) for group in plan.groups]
    images = pixels(
        assemble(start, plan, range(len(plan.groups)), [Latents({"images": each}, start.targets) for each in marked])
    )
    assert torch.equal(images[:, 0, 0, 0], torch.arange(problem.num_images).float())


def test_assembly_blends_a_residual_of_the_start_back_in(problem: Problem) -> None:
    start = begun(problem)
    plan = EarlyLate(iterations=8, residual=0.25).plan(problem)
    zeros = [Latents({"images": torch.zeros(len(group.images), 3, 8, 8)}, start.targets) for group in plan.groups]
    assert torch.equal(pixels(assemble(start, plan, range(len(plan.groups)), zeros)), 0.25 * pixels(start))


def test_a_residual_blends_what_was_recovered_with_its_start(digits: RealData, tmp_path: Path) -> None:
    """Before whole levels are kept: each residual is another entry."""
    command = "run --method delt --baseline delt,scheduler.residual=0.5 --control delt,scheduler=none --ipc 2 --seeds 1"
    options = ["scheduler.iterations=16", "teacher.epochs=1", "protocol.epochs=1"]
    sets = [part for option in options for part in ("--set", option)]
    out = tmp_path / "run"
    result = CliRunner().invoke(cli, [*command.split(), *sets, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "store" / "recover").iterdir())) == 2
    rows = ["delt-scheduler-none", "delt", "delt-scheduler.residual-0.5"]
    images = [load_file(out / row / "seed-0" / "distilled.safetensors")["images"].float() for row in rows]
    assert not torch.equal(images[0], images[1])
    assert (images[2] - (images[0] + images[1]) / 2).abs().max() <= 1  # whole levels
