"""What ImageNet-1K or 21K would take: measured rates times the plan's arithmetic. ``python benchmarks/imagenet.py``

DELT as published (ResNet-18; 1K at 224 px, T 4000; 21K in its processed form at 64 px, T 2000), FKD labels and ResNet-18
students for 300 epochs under `fair`. Groups are shared out over machines; labels and students of a seed are made on one.
Bytes moved are those of `--engine ray`: teacher, and for each group the start of its seed once a node and its own result back.
"""

from __future__ import annotations

import argparse
import math

import torch
from rich.console import Console
from rich.table import Table

from delt_host import MemorySplit, Problem, RealData
from delt_host.basics.compute import Compute
from delt_host.basics.seeding import isolated_rng
from delt_host.basics.units import duration, size
from delt_host.contracts.labels import blocks_of, label_bytes
from delt_host.contracts.protocol import Fair
from delt_host.networks.build import build_model
from delt_host.plugins.registry import load_registry
from delt_host.stages.stopwatch import time_passes
from delt_plugins.labels.relabelers import Fkd
from harness import machine, models, told

SETS = {"imagenet": (1000, 224, 4000, (10, 50, 100)), "imagenet-21k": (10450, 64, 2000, (10, 20))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", choices=SETS, default="imagenet")
    parser.add_argument("--recover", type=float, help="image-iterations a second instead of what is measured here")
    parser.add_argument("--forward", type=float, help="teacher's images a second")
    parser.add_argument("--train", type=float, help="student's images a second")
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 10, 100])
    arguments = parser.parse_args()
    compute = Compute.choose()
    classes, side, iterations, sizes = SETS[arguments.dataset]
    blank = MemorySplit(torch.zeros(classes, 3, 1, 1, dtype=torch.uint8), torch.arange(classes))
    names = tuple(map(str, range(classes)))
    data = RealData(arguments.dataset, names, side, (0.5,) * 3, (0.25,) * 3, blank, blank, "blank")
    rates = {"recover": arguments.recover, "forward": arguments.forward, "train": arguments.train}
    if None in rates.values():
        speed = time_passes("resnet18", data, compute, {})
        found = {"recover": 1 / speed.pixels, "forward": 1 / speed.forward, "train": 1 / speed.training}
        rates = {name: given or found[name] for name, given in rates.items()}
    console = Console()
    console.print(told(machine(compute)), highlight=False)
    console.print(", ".join(f"{name} {rate:,.1f} images/s" for name, rate in rates.items()), highlight=False)
    table = Table()
    for heading in (
        "IPC",
        "machines",
        "image-iterations",
        "groups",
        "recover",
        "relabel",
        "student",
        "labels",
        "moved",
    ):
        table.add_column(heading, justify="right")
    scheduler = load_registry().get("scheduler", "early-late")(iterations=iterations)
    with isolated_rng(0, "weights"):
        weights = sum(4 * p.numel() for p in build_model("resnet18", classes, side, models()).parameters())
    for ipc in sizes:
        problem = Problem(data, (), ipc, 0, Fair(), compute, models())
        plan = scheduler.plan(problem)
        epochs = problem.protocol.epochs
        views, blocks = epochs * problem.num_images, len(blocks_of(Fkd(), problem, epochs))
        for machines in arguments.machines:
            images = 4 * 3 * side**2 * problem.num_images  # float32, as recovery starts and ends
            moved = machines * (weights + images) + images
            rounds = math.ceil(len(plan.groups) / machines) / len(plan.groups)
            table.add_row(
                str(ipc) if machines == arguments.machines[0] else "",
                str(machines),
                f"{plan.image_iterations:,}",
                f"{len(plan.groups):,}",
                duration(plan.image_iterations / rates["recover"] * rounds),
                duration(views / rates["forward"] * math.ceil(blocks / machines) / blocks),
                duration(views / rates["train"]),
                size(label_bytes(Fkd(), problem)),
                size(moved),
            )
    console.print(table)


if __name__ == "__main__":
    main()
