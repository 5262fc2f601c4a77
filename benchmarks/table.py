"""Every stage against a plain reference, as ratios of paired runs: ``python benchmarks/table.py`` (`make bench`).

The references: `plain` is the published loop (plain.py); `bare` is the network alone, in the host's precision and layout,
on tensors that lie in memory, with no statistics, views or labels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import nn
from torchvision.io import write_png

import plain
from delt_host import Distilled, Labels, Problem
from delt_host.basics.compute import Compute, keep_freed_memory
from delt_host.basics.seeding import isolated_rng
from delt_host.images.randaugment import apply_operations, parse_randaugment
from delt_host.networks.build import build_model
from delt_host.plugins.registry import load_registry
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_stack, stacks
from delt_host.toolbox import drawn_network, logits, parameters
from delt_host.training.students import train_student
from delt_host.training.teachers import squeeze
from delt_plugins.delt.true_class import true_class_scores
from delt_plugins.labels.relabelers import Fkd, Hard
from delt_plugins.squeezers.ordinary import Ordinary
from harness import Ratio, in_own_process, machine, noise_problem, ratio, seconds_of, told, worker

REGISTRY = load_registry()
RECOVER_TARGETS = {"convnet3": 4.0, "resnet18": 2.5}


def silent(_done: int, _terms: object) -> None:
    return None


def fresh(model: str, problem: Problem) -> nn.Module:
    with isolated_rng(0, "bench"):
        return build_model(model, problem.num_classes, problem.image_size, problem.models)


def channels_last(images: torch.Tensor, problem: Problem) -> torch.Tensor:
    return images.to(problem.compute.device).contiguous(memory_format=torch.channels_last)


def recover(model: str, pairs: int, iterations: int, other: Executor, size: int = 32) -> Iterator[Ratio]:
    """A group of 100 images; on a GPU as many groups in one pass as the host takes there, five at 32 px."""
    groups = Compute.choose().groups_at_once(100, size) if torch.cuda.is_available() else 1
    problem = noise_problem(model, size, ipc=10 * groups)
    scheduler = REGISTRY.get("scheduler", "constant")(iterations=iterations, order="class")
    matcher = REGISTRY.get("matcher", "batch-norm")()
    start = Latents.of(problem, REGISTRY.get("initializer", "noise")().initialize(problem, range(problem.num_classes)))
    plan = scheduler.plan(problem)
    published = in_own_process(other, plain.recover, model, start.images["images"], start.targets, iterations)

    def host() -> None:
        recover_stack(problem, start, plan, range(groups), matcher, silent)

    def bare() -> None:
        images = channels_last(start.images["images"], problem)
        for _ in range(iterations):
            leaf = images.detach().requires_grad_(True)
            with problem.compute.autocast():
                loss = problem.network(leaf).float().square().mean()
            torch.autograd.grad(loss, leaf)

    seconds = seconds_of({"host": host, "plain": published, "bare": bare}, pairs)
    units = (problem.num_images * iterations, "image-its/s")
    work = f"recover, {model}, {size} px"
    yield ratio(work, "plain loop", RECOVER_TARGETS[model], seconds, ("host", "plain"), *units)
    yield ratio(work, "bare forward + backward", 0.85, seconds, ("host", "bare"), *units)


def early_late(model: str, pairs: int, iterations: int) -> Iterator[Ratio]:
    """Ten classes at IPC 50, T 4000 and RI 500 in proportion; the plan's arithmetic saves 42.25 %."""
    problem = noise_problem(model, ipc=50, compute=Compute.choose())
    start = Latents.of(problem, REGISTRY.get("initializer", "noise")().initialize(problem, range(problem.num_classes)))
    matcher = REGISTRY.get("matcher", "batch-norm")()
    names = ("constant", "early-late")
    plans = {
        name: REGISTRY.get("scheduler", name)(iterations=iterations, order="class").plan(problem) for name in names
    }

    def run(name: str) -> None:
        for stack in stacks(plans[name], matcher, problem.compute, problem.image_size):
            recover_stack(problem, start, plans[name], stack, matcher, silent)

    works = {name: partial(run, name) for name in names}
    yield ratio(
        f"early-late, {model}", "constant", 1 / (1 - 0.41), seconds_of(works, pairs), ("early-late", "constant")
    )


def student(model: str, pairs: int, epochs: int, folder: Path, other: Executor) -> Iterator[Ratio]:
    """100 images in batches of 20; labels made and kept first, as the host does, and their time counted in."""
    problem = noise_problem(model, epochs=epochs, batch_size=20)
    pixels = problem.data.train.read(torch.arange(100))
    distilled = Distilled.of(pixels, problem.targets())
    for place, image in enumerate(pixels):
        path = folder / f"{place // 10}" / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        write_png(image, str(path))
    published = in_own_process(other, plain.train_student, folder, model, epochs, 20, 2)

    def host() -> None:
        train_student(problem, Labels(problem, distilled, Fkd()), model)

    seconds = seconds_of({"host": host, "plain": published}, pairs)
    units = (100 * epochs, "images/s")
    yield ratio(
        f"relabel and student, {model}", "DataLoader, PIL, online teacher", 3.0, seconds, ("host", "plain"), *units
    )


def labels(model: str, pairs: int, views: int) -> Iterator[Ratio]:
    """Stored labels for 500 images, and the ranking of as many real ones."""
    problem = noise_problem(model, ipc=50, real=views, epochs=views // 500)
    distilled = Distilled.of(problem.data.train.read(torch.arange(500)), problem.targets())
    images = channels_last(problem.normalization.normalize(problem.data.train.read(torch.arange(500))), problem)

    def bare() -> None:
        for _ in range(views // 500):
            with torch.no_grad(), problem.compute.autocast():
                problem.network(images).float().cpu()

    works = {
        "relabel": lambda: Labels(problem, distilled, Fkd()).prepare(),
        "rank": lambda: problem.prepared(true_class_scores(problem)),
        "bare": bare,
    }
    seconds = seconds_of(works, pairs)
    for name in ("relabel", "rank"):
        yield ratio(f"{name}, {model}", "bare forward", 0.9, seconds, (name, "bare"), views, "images/s")


def squeezing(model: str, pairs: int, images: int) -> Iterator[Ratio]:
    """An epoch with padded crops and mirrors, against training steps on one resident batch."""
    problem = noise_problem(model, real=images)
    compute, squeezer = problem.compute, Ordinary(model=model, epochs=1)
    batch = channels_last(problem.normalization.normalize(problem.data.train.read(torch.arange(128))), problem)
    targets = problem.data.train.targets[:128].to(compute.device)

    def bare() -> None:
        network = compute.place(fresh(model, problem)).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
        for _ in range(images // 128):
            with compute.autocast():
                loss = F.cross_entropy(network(batch), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    works = {"host": lambda: squeeze(problem.data, squeezer, compute, {}, silent), "bare": bare}
    seconds = seconds_of(works, pairs)
    yield ratio(f"squeeze, {model}", "bare training step", 0.9, seconds, ("host", "bare"), images, "images/s")


def randaugment(text: str, size: int, batch: int, pairs: int, batches: int) -> Iterator[Ratio]:
    """Batches as students get them; from and to tensors both, since images lie in memory as such."""
    device, kind = Compute.choose().device, parse_randaugment(text)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=rng)

    def host() -> None:
        for number in range(batches):
            drawn = kind.draw(torch.Generator().manual_seed(number), batch, size)
            apply_operations(images.to(device), **drawn)

    def published() -> None:
        for _ in range(batches):
            plain.randaugment(images, text).to(device)

    seconds = seconds_of({"host": host, "plain": published}, pairs)
    units = (batch * batches, "images/s")
    yield ratio(
        f"RandAugment {text}, {size} px, batches of {batch}", "timm, PIL", 1.0, seconds, ("host", "plain"), *units
    )


def compiled(model: str, pairs: int, iterations: int) -> Iterator[Ratio]:
    """`--compile` over torch's own layers: a student; DM's matching of features; and a step of which the gradient is taken."""
    problems = {
        how: noise_problem(
            model, epochs=iterations, batch_size=20, compute=Compute.choose(stack=1, compiled=how == "compiled")
        )
        for how in ("compiled", "layers")
    }
    pixels = problems["layers"].data.train.read(torch.arange(100))

    def student(problem: Problem) -> None:
        train_student(problem, Labels(problem, Distilled.of(pixels, problem.targets()), Hard()), model)

    def matching(problem: Problem) -> None:
        scheduler = REGISTRY.get("scheduler", "constant")(iterations=iterations, order="class")
        noise = REGISTRY.get("initializer", "noise")().initialize(problem, range(problem.num_classes))
        matcher = REGISTRY.get("matcher", "distribution")()  # whose networks are those of the teacher's name
        recover_stack(problem, Latents.of(problem, noise), scheduler.plan(problem), (0,), matcher, silent)

    def second(problem: Problem) -> None:
        network, images = drawn_network(problem, model, "bench"), problem.normalization.normalize(pixels[:50])
        for _ in range(iterations):
            leaf, weights = images.detach().requires_grad_(True), parameters(network)
            loss = F.cross_entropy(logits(problem, network, leaf, weights), problem.targets()[:50])
            steps = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            torch.autograd.grad(torch.stack([step.square().sum() for step in steps]).sum(), leaf)

    works = {"student": student, "feature matching": matching, "gradient of a training step": second}
    for name, work in works.items():
        seconds = seconds_of({how: partial(work, problem) for how, problem in problems.items()}, pairs)
        yield ratio(f"{name}, {model}, --compile", "torch's layers", 1.1, seconds, ("compiled", "layers"))


def start_up(pairs: int) -> dict[str, float]:
    """Seconds of ``delt-host --help``."""
    command = shutil.which("delt-host", path=str(Path(sys.executable).parent)) or "delt-host"
    works = {"help": lambda: subprocess.run([command, "--help"], check=True, capture_output=True)}
    taken = sorted(seconds_of(works, pairs)["help"])
    return {"median_seconds": taken[len(taken) // 2], "worst_seconds": taken[-1], "target_seconds": 0.3}


def memory(few: int = 10, many: int = 60) -> dict[str, float]:
    """Peak memory of relabel and student training at two numbers of epochs, each in a process of its own."""
    peaks = {}
    for epochs in (few, many):
        command = [sys.executable, str(Path(__file__).with_name("memory.py")), str(epochs)]
        peak, label_size = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        peaks |= {f"peak_mib_{epochs}_epochs": float(peak), f"labels_mib_{epochs}_epochs": float(label_size)}
    return peaks


def measure(arguments: argparse.Namespace) -> Iterator[Ratio]:
    keep_freed_memory()
    pairs = arguments.pairs
    wanted = set(arguments.only or ("recover", "early-late", "student", "labels", "squeeze", "compiled", "randaugment"))
    if "recover" in wanted:
        for model, iterations in (("resnet18", 5), ("convnet3", 15)):
            with worker() as other:
                yield from recover(model, pairs, iterations * arguments.scale, other)
    if "photographs" in wanted:  # by itself only: minutes an iteration on a processor
        with worker() as other:
            yield from recover("resnet18", pairs, arguments.scale, other, size=224)
    if "early-late" in wanted:
        yield from early_late("resnet18", pairs, 8 * arguments.scale)
        yield from early_late("convnet3", pairs, 32 * arguments.scale)
    if "student" in wanted:
        with tempfile.TemporaryDirectory() as folder, worker() as other:
            yield from student("convnet3", pairs, 15 * arguments.scale, Path(folder), other)
    if "labels" in wanted:
        yield from labels("resnet18", pairs, 2000 * arguments.scale)
        yield from labels("convnet3", pairs, 4000 * arguments.scale)
    if "squeeze" in wanted:
        yield from squeezing("resnet18", pairs, 1024 * arguments.scale)
        yield from squeezing("convnet3", pairs, 2560 * arguments.scale)
    if "compiled" in wanted:
        yield from compiled("convnet3_in", pairs, 2 * arguments.scale)
    if "randaugment" in wanted:  # DELT's on CIFAR-10, Tiny-ImageNet and ImageNet sets
        yield from randaugment("m5-n4", 32, 50, pairs, 10 * arguments.scale)
        yield from randaugment("m4-n3", 64, 100, pairs, 5 * arguments.scale)
        yield from randaugment("m6-n2", 224, 100, pairs, arguments.scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, help="how many times as much work in each run; 20 for a GPU")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="STAGE",
        help="recover, photographs, early-late, student, labels, squeeze, compiled, randaugment",
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    about = machine(Compute.choose())
    console = Console()
    table = Table(title=told(about), title_justify="left")
    for heading in ("work", "over", "ratio", "of the pairs", "wanted", "rate"):
        table.add_column(heading, justify="left" if heading in ("work", "over") else "right")
    rows = []
    for row in measure(arguments):
        spread = f"{min(row.ratios):.2f} to {max(row.ratios):.2f}"
        rate = f"{row.rate:,.0f} {row.unit}" if row.rate else ""
        table.add_row(row.work, row.over, f"{row.median:.2f}", spread, f"{row.target:.2f}", rate)
        rows.append({**vars(row), "median": row.median})
        print(f"{row.work} / {row.over}: {row.median:.2f}", file=sys.stderr, flush=True)
    console.print(table)
    record = {"machine": about, "pairs": arguments.pairs, "ratios": rows}
    if not arguments.only:
        record |= {"help": start_up(arguments.pairs), "memory": memory()}
        console.print(record["help"], record["memory"])
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
