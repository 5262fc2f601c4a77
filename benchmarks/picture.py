"""One image of each class for every row of a run, side by side. ``python benchmarks/picture.py RUN --out FILE.png``"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

import delt_host


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rows", nargs="+", required=True, help="folders of rows, top to bottom")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=int, default=0, help="which of a class's images")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    figure, axes = plt.subplots(len(arguments.rows), arguments.classes, squeeze=False)
    margin = 0.2 + 0.08 * max(map(len, arguments.rows))  # inches for the rows' names
    width = arguments.classes * 0.8 + margin
    figure.set_size_inches(width, len(arguments.rows) * 0.8 + 0.3)
    for row, name in enumerate(arguments.rows):
        distilled = delt_host.load(arguments.run / name / f"seed-{arguments.seed}" / "distilled.safetensors")
        for column in range(arguments.classes):
            axis = axes[row, column]
            own = (distilled.targets == column).nonzero().flatten()[arguments.place]
            axis.imshow(distilled.read(own[None])[0].permute(1, 2, 0).numpy(), interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            for spine in axis.spines.values():
                spine.set_visible(False)
            if row == 0:
                axis.set_title(distilled.class_names[column], fontsize=8)
            if column == 0:
                axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(left=margin / width, right=0.995, top=0.93, bottom=0.01, wspace=0.06, hspace=0.06)
    figure.savefig(arguments.out, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
