"""Students an hour: one after the other with all threads, and side by side: ``python benchmarks/students.py``.

A student is trained on 100 images of noise at 32 px, ten classes, batches of 20, as `delt-host run` does it in one process
and ``--workers N`` in N. Rounds are interleaved, and a ratio is that of a round's two works. `--only one-pass` times a
step of several students in one pass, by `torch.func.vmap`, whose convolutions are grouped ones, over a step of each by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from delt_host import Labels
from delt_host.basics.compute import Compute, own_process
from delt_host.contracts.sets import Distilled
from delt_host.networks.build import build_model
from delt_host.training.students import train_student
from delt_plugins.labels.relabelers import Hard
from harness import machine, noise_problem, told

BATCH = 20
WORKS = ["side-by-side", "one-pass"]


def train(model: str, epochs: int, students: int, _number: int = 0) -> None:
    """So many students, one after the other."""
    problem = noise_problem(model, epochs=epochs, batch_size=BATCH)
    distilled = Distilled.of(problem.data.train.read(torch.arange(100)), problem.targets())
    for _ in range(students):
        train_student(problem, Labels(problem, distilled, Hard()), model)


@contextmanager
def processes(count: int, threads: int) -> Iterator[Executor]:
    """So many, each with its threads, that wait for work."""
    context = get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=own_process, initargs=(threads,)) as pool:
        yield pool


def seconds(pool: Executor, count: int, model: str, epochs: int, students: int) -> float:
    """Of `students` in each of `count` processes at once."""
    began = time.perf_counter()
    list(pool.map(partial(train, model, epochs, students), range(count)))
    return time.perf_counter() - began


def side_by_side(
    models: Sequence[str], workers: int, epochs: Mapping[str, int], pairs: int
) -> Iterator[dict[str, Any]]:
    cores = workers * max((os.cpu_count() or workers) // workers, 1)
    with processes(1, cores) as alone, processes(workers, cores // workers) as crew:
        for model in models:
            one, many = [], []
            for turn in range(pairs + 1):
                each = seconds(alone, 1, model, epochs[model], workers), seconds(crew, workers, model, epochs[model], 1)
                if turn:  # the first is not counted
                    one.append(each[0])
                    many.append(each[1])
            steps = epochs[model] * 100 // BATCH
            yield {
                "work": f"{model}, {steps} steps",
                "workers": workers,
                "threads_of_a_worker": cores // workers,
                "students_an_hour_alone": 3600 * workers / statistics.median(one),
                "students_an_hour": 3600 * workers / statistics.median(many),
                **_ratios(one, many),
            }


def _ratios(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    ratios = [old / new for old, new in zip(before, after, strict=True)]
    return {"ratio": statistics.median(ratios), "ratios": [min(ratios), max(ratios)]}


def steps(model: str, count: int) -> dict[str, Callable[[], object]]:
    """A step's loss and gradients of `count` students, each on a batch of its own: each by itself, and all in one pass."""
    compute = Compute("cpu", "fp32")
    problem = noise_problem(model, compute=compute)
    networks: list[nn.Module] = []
    for _ in range(count):
        network = build_model(model, 10, 32, problem.models)
        torch.func.replace_all_batch_norm_modules_(network)  # no running statistics, which vmap cannot write
        networks.append(compute.place(network))
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(count, BATCH, 3, 32, 32, generator=rng)
    targets = torch.arange(count * BATCH).view(count, BATCH) % 10

    def alone() -> None:
        for network, views, classes in zip(networks, images, targets, strict=True):
            network.zero_grad()
            F.cross_entropy(network(views.to(memory_format=torch.channels_last)), classes).backward()

    weights, buffers = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(own: dict[str, Tensor], others: dict[str, Tensor], views: Tensor, classes: Tensor) -> Tensor:
        logits: Tensor = functional_call(networks[0], (own, others), (views,))
        return F.cross_entropy(logits, classes)

    return {"alone": alone, "together": lambda: vmap(grad(loss))(weights, buffers, images, targets)}


def convolutions(count: int, channels: int, size: int, kind: torch.dtype) -> dict[str, Callable[[], object]]:
    """A convolution of `count` students, forward and back, as so many, and as one with groups."""
    maps = [torch.randn(BATCH, channels, size, size, dtype=kind, requires_grad=True) for _ in range(count)]
    weights = [torch.randn(channels, channels, 3, 3, dtype=kind, requires_grad=True) for _ in range(count)]
    together, of_all = (
        torch.cat([m.detach() for m in maps], 1).requires_grad_(),
        torch.cat([w.detach() for w in weights]),
    )
    of_all.requires_grad_()

    def plain() -> None:
        for map_, weight in zip(maps, weights, strict=True):
            F.conv2d(map_, weight, padding=1).sum().backward()

    return {"alone": plain, "together": lambda: F.conv2d(together, of_all, padding=1, groups=count).sum().backward()}


def one_pass(models: Sequence[str], pairs: int, times: int) -> Iterator[dict[str, Any]]:
    """In float32, as the gradient of a mapped network under autocast is refused; convolutions in bf16, too."""
    works = {f"step of {n} students, {model}, fp32": steps(model, n) for model in models for n in (2, 4)}
    works |= {
        f"convolution of {n} students, 128 maps of 16 px, {str(kind)[6:]}": convolutions(n, 128, 16, kind)
        for n in (2, 4)
        for kind in (torch.float32, torch.bfloat16)
    }
    for name, pair in works.items():
        found: dict[str, list[float]] = {"alone": [], "together": []}
        for turn in range(pairs + 1):
            for how, work in pair.items():
                began = time.perf_counter()
                for _ in range(times):
                    work()
                if turn:
                    found[how].append((time.perf_counter() - began) / times)
        about = {f"ms_{how}": 1000 * statistics.median(each) for how, each in found.items()}
        yield {"work": name, **about, **_ratios(found["alone"], found["together"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["convnet3", "resnet18"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--epochs", type=int, help="of a student (default: 60 of a ConvNet's, 6 of another's)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", choices=WORKS, default=WORKS[:1], help="what to time (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    epochs = {name: arguments.epochs or (60 if name.startswith("convnet") else 6) for name in arguments.model}
    own_process(None)
    about = machine(Compute.choose())
    print(told(about))
    rows = []
    wanted = [work in arguments.only for work in WORKS]
    for row in side_by_side(arguments.model, arguments.workers, epochs, arguments.pairs) if wanted[0] else ():
        rows.append(row)
        print(
            f"{row['work']}: {row['students_an_hour_alone']:,.0f} an hour one after the other, "
            f"{row['students_an_hour']:,.0f} by {row['workers']} workers of {row['threads_of_a_worker']} threads: "
            f"{row['ratio']:.2f} ({row['ratios'][0]:.2f} to {row['ratios'][1]:.2f})",
            flush=True,
        )
    for row in one_pass(arguments.model, arguments.pairs, 5) if wanted[1] else ():
        rows.append(row)
        low, high = row["ratios"]
        print(
            f"{row['work']}: {row['ms_alone']:.1f} ms each by itself, {row['ms_together']:.1f} ms together: "
            f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": about, "students": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
