"""Second derivatives in bf16: gradient matching's pixel gradient beside float32's. ``python benchmarks/second_order.py``

The digits, enlarged to 32 px; ConvNet-3 with instance norms, trained in float32 for some steps; ten images a class, and batches
of real ones. Printed for each distance: the cosine of the gradients of all classes, the least of a class, and how long it is
beside float32's.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import get_args

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from delt_host import Problem
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import generator
from delt_host.plugins.registry import load_registry
from delt_host.toolbox import RealBatches, drawn_network, logits, parameters
from delt_plugins.batch_matching.distances import Distance, distance
from delt_plugins.batch_matching.gradients import gradients
from delt_plugins.kit import random_teacher
from harness import machine, models, noise_problem, told

NETWORK, CLASSES, IPC, REAL = "convnet3_in", 10, 10, 64


@dataclass(frozen=True)
class Agreement:
    """Of the pixel gradient (N, 3, S, S) with float32's."""

    distance: str
    how: str
    cosine: float
    worst: float
    """The least cosine of a class."""
    length: float


def digits(size: int) -> Problem:
    """In float32."""
    data = load_registry().get("dataset", "digits")(image_size=size).load()
    problem = noise_problem(NETWORK, size, ipc=IPC, compute=Compute("cpu", "fp32"))
    return replace(problem, data=data, teachers=(random_teacher(data, NETWORK),), models=models())


def trained(problem: Problem, steps: int) -> dict[str, Tensor]:
    """The weights of a network after so many steps on real images."""
    network, rng = drawn_network(problem, NETWORK, "bench").requires_grad_(True), generator(0, "bench")
    optimizer, real = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9), RealBatches(problem)
    for _ in range(steps):
        images, targets = real.of_all(128, rng)
        optimizer.zero_grad()
        F.cross_entropy(logits(problem, network, images), targets).backward()
        optimizer.step()
    return network.state_dict()


def pixel_gradient(problem: Problem, weights: dict[str, Tensor], kind: Distance) -> Tensor:
    """(N, 3, S, S), of the sum over classes of the distance of gradients of real batches and of other real images."""
    network = drawn_network(problem, NETWORK, "bench")
    network.load_state_dict(weights)
    real, rng, found, of = RealBatches(problem), generator(0, "bench", "real"), [], parameters(network)
    names = [name for name, each in of.items() if each.ndim >= 2]
    for label in range(CLASSES):
        images, targets = real.of_classes([label], IPC + REAL, rng)
        own = images[:IPC].clone().requires_grad_(True)
        wanted = gradients(problem, network, of, names, (images[IPC:], targets[IPC:]))
        given = gradients(problem, network, of, names, (own, targets[:IPC]), graph=True)
        found += torch.autograd.grad(distance(kind, given, wanted), own)
    return torch.cat(found)


def agreements(size: int, steps: int, compiled: bool) -> Iterator[Agreement]:
    """Of both distances that are published for small images; with `compiled` under ``--compile``, too."""
    exact = digits(size)
    weights = trained(exact, steps)
    ways = {"bf16": Compute("cpu", "bf16")}
    if compiled:
        ways |= {
            f"{precision} --compile": Compute.choose("cpu", precision, compiled=True) for precision in ("fp32", "bf16")
        }
    for kind in get_args(Distance)[:2]:
        wanted = pixel_gradient(exact, weights, kind)
        for how, compute in ways.items():
            given = pixel_gradient(replace(exact, compute=compute), weights, kind)
            classes = F.cosine_similarity(given.reshape(CLASSES, -1), wanted.reshape(CLASSES, -1))
            cosine = F.cosine_similarity(given.flatten(), wanted.flatten(), dim=0)
            yield Agreement(kind, how, float(cosine), float(classes.min()), float(given.norm() / wanted.norm()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32, help="of images, in px")
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 30, 300], help="of the network's training")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    arguments = parser.parse_args()
    table = Table(title=told(machine(Compute("cpu", "bf16"))), title_justify="left")
    for heading in ("steps", "distance", "with", "cosine", "least of a class", "length"):
        table.add_column(heading, justify="left" if heading in ("distance", "with") else "right")
    for steps in arguments.steps:
        for row in agreements(arguments.size, steps, arguments.compile):
            table.add_row(
                str(steps), row.distance, row.how, f"{row.cosine:.4f}", f"{row.worst:.4f}", f"{row.length:.3f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
