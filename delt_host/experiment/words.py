"""Words of the command line and of recipes that stand for nothing installed."""

from __future__ import annotations

from typing import NamedTuple

NO_TEACHER = "none"
"""What stands in place of teachers where a run has none."""
NO_COMPONENT = "none"
"""The scheduler and matcher of a row that optimises nothing."""
START = "start"
"""The control that takes each method's initialisation with zero iterations."""
DEFAULT_CONTROLS = ("random-real", START)
BUDGETS = ("image-iterations", "seconds")
"""What ``--match`` may give every row alike."""


class Word(NamedTuple):
    """One of them."""

    kind: str
    name: str
    typed: str
    """How it is typed."""
    summary: str
    """What it means there."""


WORDS = (
    Word(
        "word",
        NO_TEACHER,
        "--teacher none, or --method METHOD,scheduler=none,matcher=none",
        "No teacher: students are told hard labels; or nothing optimised: images stay as the initializer left them.",
    ),
    Word("control", DEFAULT_CONTROLS[0], "--control random-real", "Random real images; any method may stand there."),
    Word("control", START, "--control start", "Each --method's images as they begin, with zero iterations."),
    Word(
        "budget",
        BUDGETS[0],
        "--match image-iterations, or --match image-iterations=AMOUNT",
        "As many image-iterations for every row as the first one takes, or that many.",
    ),
    Word(
        "budget",
        BUDGETS[1],
        "--match seconds, or --match seconds=AMOUNT",
        "As many seconds of recovery for every row as the first one takes, or that many.",
    ),
    Word("device", "auto", "--device auto", "The accelerator that torch sees, else the processor."),
    Word("device", "cpu", "--device cpu", "The processor."),
    Word("device", "cuda", "--device cuda, or --device cuda:N", "The first CUDA device, or that of number N from 0."),
    Word("device", "mps", "--device mps", "Apple's GPU; untested."),
    Word("device", "xpu", "--device xpu, or --device xpu:N", "Intel's GPUs; untested."),
    Word("precision", "auto", "--precision auto", "bf16 where the hardware multiplies it natively, else fp32."),
    Word("precision", "fp32", "--precision fp32", "Everything in float32."),
    Word("precision", "bf16", "--precision bf16", "Autocast: weights, statistics, losses and pixels stay float32."),
)
"""All of them."""
