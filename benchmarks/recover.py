"""Recovery by the host against the plain loop that published scripts run, image-iterations per second, paired.

The plain loop: contiguous float32, BatchNorm statistics by mean and var in forward hooks, torch's Adam over the batch,
one crop for the batch. Both run the same network on the same images, in turn; the median of the ratios is printed with
its range. `bare` is a forward and backward pass of the network in the host's precision and layout, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from delt_host import MemorySplit, Problem, Protocol, RealData, Teacher
from delt_host.compute import Compute
from delt_host.models import build_model
from delt_host.plugins import load_registry
from delt_host.recover import recover_group
from delt_host.seeding import isolated_rng


def make_problem(model: str, size: int) -> Problem:
    """Ten classes of blank images: speed does not depend on what is in them."""
    split = MemorySplit(torch.zeros(100, 3, size, size, dtype=torch.uint8), torch.arange(10).repeat_interleave(10))
    data = RealData("blank", tuple("0123456789"), size, (0.5,) * 3, (0.25,) * 3, split, split, "blank")
    with isolated_rng(0, "bench"):
        state = build_model(model, 10, size).state_dict()
    teacher = Teacher(model, state, data.class_names, data.mean, data.std, size)
    return Problem(data, (teacher,), 10, 0, Protocol(), Compute.choose())


def plain(network: nn.Module, pixels: Tensor, targets: Tensor, iterations: int) -> None:
    """The published loop."""
    pixels = pixels.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], lr=0.25, betas=(0.5, 0.9))
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    terms: list[Tensor] = []

    def statistic(layer: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        x = args[0]
        mean = x.mean([0, 2, 3])
        variance = x.permute(1, 0, 2, 3).contiguous().reshape(x.shape[1], -1).var(1, unbiased=False)
        terms.append(torch.norm(layer.running_var - variance, 2) + torch.norm(layer.running_mean - mean, 2))

    hooks = [layer.register_forward_hook(statistic) for layer in layers]
    augment = v2.Compose([v2.RandomResizedCrop(pixels.shape[-1], antialias=True), v2.RandomHorizontalFlip()])
    for _ in range(iterations):
        terms.clear()
        loss = F.cross_entropy(network(augment(pixels)), targets)
        loss = loss + 0.01 * sum(term * (10.0 if i == 0 else 1.0) for i, term in enumerate(terms))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            pixels.clamp_(-2.0, 2.0)
    for hook in hooks:
        hook.remove()


def bare(problem: Problem, pixels: Tensor, iterations: int) -> None:
    """The network alone."""
    for _ in range(iterations):
        leaf = pixels.contiguous(memory_format=torch.channels_last).requires_grad_(True)
        with problem.compute.autocast():
            loss = problem.network(leaf).float().square().mean()
        torch.autograd.grad(loss, leaf)


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(model: str, size: int, iterations: int, pairs: int) -> dict[str, object]:
    problem = make_problem(model, size)
    registry = load_registry()
    scheduler = registry.get("scheduler", "constant")(iterations=iterations, order="class")
    matcher = registry.get("matcher", "batch-norm")()
    start = registry.get("initializer", "noise")().initialize(problem)
    plan = scheduler.plan(problem)
    reference = problem.teacher.network(problem.class_names, Compute("cpu", "fp32")).to(
        memory_format=torch.contiguous_format
    )
    works: dict[str, Callable[[], object]] = {
        "host": lambda: recover_group(problem, start, plan, 0, matcher, lambda _n, _t: None),
        "plain": lambda: plain(reference, start.images, start.targets, iterations),
        "bare": lambda: bare(problem, start.images, iterations),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(pairs):
        for name, work in works.items():
            seconds[name].append(timed(work))  # type: ignore[arg-type]
    over_plain = [p / h for p, h in zip(seconds["plain"], seconds["host"], strict=True)]
    of_bare = [b / h for b, h in zip(seconds["bare"], seconds["host"], strict=True)]
    return {
        "model": model,
        "image_its_per_second": round(100 * iterations / statistics.median(seconds["host"])),
        "over_plain": [round(f(over_plain), 2) for f in (statistics.median, min, max)],
        "of_bare": [round(f(of_bare), 2) for f in (statistics.median, min, max)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["convnet3", "resnet18"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"{Compute.choose().precision}; median [min, max] of {arguments.pairs} pairs")  # fmt: skip
    for model in arguments.models:
        print(json.dumps(compare(model, arguments.size, arguments.iterations, arguments.pairs)), flush=True)


if __name__ == "__main__":
    main()
