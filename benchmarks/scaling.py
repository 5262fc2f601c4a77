"""How the cost of recovery grows with IPC, classes, image size and T: ``python benchmarks/scaling.py`` draws it.

Each point is the median of three runs of DELT's plan; the line is what the plan's image-iterations say, through the first
point of each panel. Image size has no such line: what a pass costs is the network's.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from delt_host.basics.compute import Compute
from delt_host.plugins.registry import load_registry
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_stack, stacks
from harness import machine, noise_problem, seconds_of, told

REGISTRY = load_registry()
BASE = {"size": 32, "classes": 10, "ipc": 10, "iterations": 8}
PANELS: dict[str, tuple[str, Sequence[int]]] = {
    "ipc": ("images per class", (1, 5, 10, 20, 50)),
    "classes": ("classes", (2, 10, 50, 200)),
    "iterations": ("iterations T", (8, 16, 32, 64)),
    "size": ("image side in px", (16, 32, 64, 128, 224)),
}


def point(model: str, size: int, classes: int, ipc: int, iterations: int) -> dict[str, float]:
    """Image-iterations and median seconds of recovering the whole set."""
    problem = noise_problem(model, size, classes=classes, ipc=ipc, compute=Compute.choose())
    plan = REGISTRY.get("scheduler", "early-late")(iterations=iterations).plan(problem)
    noise = REGISTRY.get("initializer", "noise")()
    start = Latents.of(problem, noise.initialize(problem, range(problem.num_classes)))
    matcher = REGISTRY.get("matcher", "batch-norm")()

    def run() -> None:
        for stack in stacks(plan, matcher, problem.compute, size):
            recover_stack(problem, start, plan, stack, matcher, lambda _done, _terms: None)

    seconds = seconds_of({"recover": run}, 3)["recover"]
    return {"image_iterations": plan.image_iterations, "seconds": statistics.median(seconds)}


def measure(model: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (_, values) in PANELS.items():
        # Large images need few of them: a batch of ten is enough to fill any processor.
        settings = {**BASE, "ipc": 1} if name == "size" else BASE
        found[name] = [{name: value, **point(model, **{**settings, name: value})} for value in values]
        for row in found[name]:
            print(row, flush=True)
    return found


def draw(found: dict[str, Any], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, ticker

    pyplot.rcParams.update({"svg.hashsalt": "delt-host", "font.size": 9})
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(11, 2.9), layout="constrained")
    for axis, (name, (label, values)) in zip(axes, PANELS.items(), strict=True):
        rows = found[name]
        seconds = [row["seconds"] for row in rows]
        if name == "size":
            axis.plot(values, [row["seconds"] * 1000 / row["image_iterations"] for row in rows], "o-", color="#b3541e")
            axis.set_ylabel("ms an image-iteration")
        else:
            first = rows[0]
            expected = [first["seconds"] * row["image_iterations"] / first["image_iterations"] for row in rows]
            axis.plot(values, expected, "-", color="#9aa5b1", label="plan's arithmetic")
            axis.plot(values, seconds, "o", color="#1f5fa8", label="measured")
            axis.set_ylabel("seconds")
        axis.set(xscale="log", yscale="log", xlabel=label)
        axis.set_xticks(values, [str(value) for value in values])
        axis.minorticks_off()
        axis.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--json", type=Path, default=Path("docs/results/scaling.json"))
    parser.add_argument("--svg", type=Path, default=Path("docs/results/scaling.svg"))
    parser.add_argument("--draw-only", action="store_true", help="draw the figures that --json holds")
    arguments = parser.parse_args()
    if not arguments.draw_only:
        record = {
            "machine": machine(Compute.choose()),
            "model": arguments.model,
            "points": measure(arguments.model),
        }
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    record = json.loads(arguments.json.read_text())
    keep = ("date", "processor", "threads", "precision", "torch")
    about = told({name: record["machine"][name] for name in keep})
    draw(record["points"], f"recovery of DELT's plan, {record['model']}; {about}", arguments.svg)


if __name__ == "__main__":
    main()
