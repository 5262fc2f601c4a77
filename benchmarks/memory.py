"""Peak memory of relabelling and training for a number of epochs: ``python benchmarks/memory.py EPOCHS`` prints MiB."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from delt_host import Distilled, Labels
from delt_host.store.store import Store
from delt_host.training.students import train_student
from delt_plugins.labels.relabelers import Fkd
from harness import high_water, noise_problem

CLASSES, IPC, SIZE = 1000, 2, 8  # small images of many classes: nearly all bytes are labels


def main(epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        problem = noise_problem("convnet3", SIZE, classes=CLASSES, ipc=IPC, epochs=epochs, batch_size=100)
        problem = problem.with_store(Store(Path(folder)))
        pixels = torch.randint(0, 256, (problem.num_images, 3, SIZE, SIZE), dtype=torch.uint8)
        labels = Labels(problem, Distilled.of(pixels, problem.targets()), Fkd())
        labels.prepare()
        train_student(problem, labels, "convnet3")
    print(high_water() / 2**20, labels.size_bytes / 2**20)


if __name__ == "__main__":
    main(int(sys.argv[1]))
