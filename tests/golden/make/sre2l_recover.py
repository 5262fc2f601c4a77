"""Write sre2l_recover.json: SRe2L's and CDA's recovery, from a checkout of VILA-Lab/SRe2L."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from recovering import SmallNetwork, commit_of, hook_figures, module_of, recovered, seven

from published import write_golden

SMALL = "SRe2L/*small_dataset"
LOOPS = {  # the published commands' options, but for the iterations and the images of a batch
    "sre2l imagenet": ("SRe2L/recover/data_synthesis.py", {"lr": 0.25, "r_bn": 0.01, "jitter": 32}),
    "sre2l tiny-imagenet": (f"{SMALL}/recover_tiny.py", {"lr": 0.1, "r_bn": 1.0, "jitter": 4}),
    "sre2l cifar100": (f"{SMALL}/recover_cifar.py", {"lr": 0.25, "r_bn": 0.01, "jitter": 4}),
    "cda imagenet": ("CDA/recover_cda_in1k.py", {"lr": 0.25, "r_bn": 0.01, "jitter": 32}),
    "cda tiny-imagenet": ("CDA/recover_cda_tiny.py", {"lr": 0.4, "r_bn": 0.05, "jitter": 4}),
}
HOOKS = ("SRe2L/recover/utils.py", f"{SMALL}/utils.py", "CDA/utils.py")
ALWAYS = {
    "first_bn_multiplier": 10.0,
    "easy2hard_mode": "cosine",
    "milestone": 1,
    "verifier": False,
    "store_best_images": True,
    "store_last_images": True,
    "tv_l2": 0,
    "l2_scale": 0,
}
BATCH, ITERATIONS, LONG = 4, 6, 20


def main(checkout: Path) -> None:
    figures: dict[str, object] = {"iterations": ITERATIONS}
    for name, (file, options) in LOOPS.items():
        module = module_of(checkout / file, ["wandb"])
        args = Namespace(**ALWAYS, **options, batch_size=BATCH, iteration=ITERATIONS)
        figures[name] = recovered(module, lambda of, args=args, m=module: m.get_images(args, of, None, 0), network())
    tiny = module_of(checkout / "CDA/recover_cda_tiny.py", ["wandb"])
    figures["curriculum"] = {"iterations": LONG}
    for mode, milestone in (
        ("cosine", 1),
        ("linear", 1),
        ("step", 0.5),
        ("cosine", 0.5),
        ("linear", 0.3),
        ("cosine", 0),
    ):
        options = {**ALWAYS, **LOOPS["cda tiny-imagenet"][1], "easy2hard_mode": mode, "milestone": milestone}
        args = Namespace(**options, batch_size=2, iteration=LONG)
        told = recovered(tiny, lambda of, args=args: tiny.get_images(args, of, None, 0), network(2))
        figures["curriculum"][f"{mode} {milestone}"] = told["crop"]  # type: ignore[index]
    figures["hooks"] = {file: hook_figures(module_of(checkout / file)) for file in HOOKS}
    files = sorted({file for file, _ in LOOPS.values()} | set(HOOKS))
    write_golden("sre2l_recover", "https://github.com/VILA-Lab/SRe2L", commit_of(checkout), files, figures)


def network(classes: int = BATCH) -> SmallNetwork:
    return SmallNetwork(classes).eval().requires_grad_(False)


if __name__ == "__main__":
    assert seven(1 / 3) == 0.3333333
    main(Path(sys.argv[1]))
