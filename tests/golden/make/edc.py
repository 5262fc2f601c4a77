"""`python edc.py CHECKOUT` writes what EDC's published code printed; einops must be installed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy
from committee_stand_ins import batches, in_a_folder_of_its_own, normalized, published, recovered, round_to
from torch import nn

from made_inputs import FirstOfTwo, SecondOfTwo, ten_classes
from published import write_golden

checkout = Path(sys.argv[1]).resolve()
figures: dict[str, object] = {}


def recover(branch: str) -> ModuleType:
    return published(checkout / f"Branch_{branch}" / "recover", "recover")


def two() -> list[nn.Module]:
    """Networks without hooks, which the published code leaves on them."""
    return [FirstOfTwo(), SecondOfTwo()]


def exchange(folder: Path) -> None:
    """Patches' means and variances of every class, in each other's place in the files."""
    for file in folder.glob("ConvFeatureHook/class_*/*/running.npz"):
        found = dict(numpy.load(file))
        found["running_patch_mean"], found["running_patch_var"] = (
            found["running_patch_var"],
            found["running_patch_mean"],
        )
        numpy.savez(file, **found)


def sums(folder: Path) -> dict[str, list[float]]:
    """Of class 3's targets of one convolution, by what the files call them."""
    (file,) = folder.glob("ConvFeatureHook/class_3/FirstOfTwo_first=3/running.npz")
    return {name: [round_to(value) for value in each.tolist()] for name, each in numpy.load(file).items()}


with in_a_folder_of_its_own() as place:
    pixels, _ = ten_classes(20)
    start = normalized(pixels).roll(2, dims=0)
    module = recover("CIFAR_10")
    try:
        recovered(module, two(), start)
    except TypeError as error:
        figures["without files"] = str(error)
    figures["files"] = sums(place / "statistic")
    figures["recover"] = recovered(module, two(), start)
    exchange(place / "statistic")
    figures["recover, files put right"] = recovered(module, two(), start)
    networks = two()
    figures["recover, a teacher verifies"] = recovered(module, networks, start, verifier=networks[0])
with in_a_folder_of_its_own():
    figures["batches"] = {
        "cifar10 10": batches(recover("CIFAR_10"), 10, 10, 100, gpus=1),
        "cifar100 10": batches(recover("CIFAR_100"), 100, 10, 100, gpus=4),
        "tiny-imagenet 10": batches(recover("Tiny_ImageNet"), 200, 10, 100, gpus=4),
        "imagenet 10": batches(recover("full_ImageNet_1k"), 1000, 10, 80, gpus=4),
        "imagenette 50": batches(recover("ImageNet_10"), 10, 50, 100, gpus=1),
    }

branches = ("CIFAR_10", "CIFAR_100", "Tiny_ImageNet", "full_ImageNet_1k", "ImageNet_10")
files = [f"Branch_{branch}/recover/{file}.py" for branch in branches for file in ("recover", "utils")]
write_golden("edc", "https://github.com/shaoshitong/EDC", (checkout / "COMMIT").read_text().strip(), files, figures)
