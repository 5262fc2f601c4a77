"""Writes golden/selection_delt.json: python selection_delt.py CHECKOUT of https://github.com/VILA-Lab/DELT."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms.v2.functional import to_pil_image

sys.path.insert(0, str(Path(__file__).parents[2]))

from made_inputs import linear, picture
from published import write_golden

CHECKOUT = Path(sys.argv[1]).resolve()
COUNTS = (7, 8)  # images of the classes
IPC = 4


def main() -> None:
    torch.nn.Module.cuda = lambda self, *_args: self
    torch.Tensor.cuda = lambda self, *_args: self
    sys.path.insert(0, str(CHECKOUT))
    import data_selection

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        train, chosen = Path(folder) / "train", Path(folder) / "chosen"
        for label, count in enumerate(COUNTS):
            (train / f"{label}").mkdir(parents=True)
            for number in range(count):
                to_pil_image(picture(1 + 70 * label + 7 * number, 64, 64)).save(train / f"{label}" / f"{number}.png")
        settings = argparse.Namespace(
            dataset="tiny-imagenet", data_path=str(train), batch_size=4, workers=0, store_rank_file=False
        )
        ranking = data_selection.rank(settings, linear(64, len(COUNTS)).eval(), data_selection.get_dataloader(settings))
        figures["scores"] = {
            path: round(score, 6) for path, score in zip(ranking["img_path"], ranking["score"], strict=True)
        }
        for name, store in (("medium", "medium"), ("highest", "top"), ("lowest", "min")):
            for label in range(len(COUNTS)):
                getattr(data_selection, f"store_{store}")(ranking, str(label), str(train), str(chosen), IPC)
            files = [sorted((chosen / str(label)).iterdir()) for label in range(len(COUNTS))]
            figures[name] = [[int(file.stem.rpartition("_")[2]) for file in each] for each in files]
    write_golden(
        "selection_delt",
        "https://github.com/VILA-Lab/DELT",
        (CHECKOUT / "COMMIT").read_text().strip(),
        ["data_selection.py"],
        figures,
    )


if __name__ == "__main__":
    main()
