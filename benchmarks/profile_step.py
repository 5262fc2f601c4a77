"""Where the time of a recovery iteration goes: ``python benchmarks/profile_step.py --model resnet18``."""

from __future__ import annotations

import argparse

from torch.profiler import profile, supported_activities

from delt_host.plugins.registry import load_registry
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from harness import machine, noise_problem, told

# What an operator belongs to; what is in none of them is shown as "other".
PARTS = {
    "convolutions": ("convolution", "conv2d", "mkldnn", "cudnn_conv"),
    "BatchNorm of the network, and its moments for the matcher": ("batch_norm",),
    "gradient of the moments": ("_MomentsBackward", "addcmul", "addcdiv"),
    "ReLU, additions, pooling": ("relu", "clamp", "threshold", "aten::add", "pool", "aten::mul", "aten::sum"),
    "copies and changes of precision": (
        "copy_",
        "_to_copy",
        "aten::to",
        "contiguous",
        "clone",
        "aten::cat",
        "fill_",
        "zero",
    ),
    "views (matrix products)": ("bmm", "matmul", "einsum", "aten::mm"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=10)
    arguments = parser.parse_args()
    problem = noise_problem(arguments.model, arguments.size)
    registry = load_registry()
    noise = registry.get("initializer", "noise")()
    start = Latents.of(problem, noise.initialize(problem, range(problem.num_classes)))
    matcher = registry.get("matcher", "batch-norm")()
    plan = registry.get("scheduler", "constant")(iterations=arguments.iterations, order="class").plan(problem)
    recover_group(problem, start, plan, 0, matcher, lambda _done, _terms: None)
    accelerated = problem.compute.device != "cpu"
    with profile(activities=supported_activities()) as record:
        recover_group(problem, start, plan, 0, matcher, lambda _done, _terms: None)
    times: dict[str, float] = {}
    for event in record.key_averages():
        spent = event.self_device_time_total if accelerated else event.self_cpu_time_total
        name = next((part for part, keys in PARTS.items() if any(key in event.key for key in keys)), "other")
        times[name] = times.get(name, 0.0) + spent
    total = sum(times.values())
    print(told(machine(problem.compute)))
    print(
        f"{arguments.model}, {arguments.size} px, 100 images: {total / arguments.iterations / 1000:.1f} ms an iteration"
    )
    for name, spent in sorted(times.items(), key=lambda pair: -pair[1]):
        print(f"{100 * spent / total:5.1f} %  {name}")


if __name__ == "__main__":
    main()
