"""Data as people have them in Python, in place of a dataset's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import delt_host
from delt_host import InputError

TINY: dict[str, Any] = {
    "method": "random-real", "teacher": "none", "regime": "hard", "ipc": 1, "seeds": 1, "controls": False, "quiet": True,
    "threads": 1, "set": {"protocol.epochs": 1},
}  # fmt: skip

DATA = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(40) % 4


class TorchSet(torch.utils.data.Dataset[tuple[Any, int]]):
    """As torchvision's are."""

    classes = ("a", "b", "c", "d")

    def __getitem__(self, place: int) -> tuple[Any, int]:
        from torchvision.transforms.functional import to_pil_image

        return to_pil_image(DATA[place]), int(CLASSES[place])

    def __len__(self) -> int:
        return 40


@pytest.mark.parametrize(
    ("dataset", "tests"),
    [
        ((DATA, CLASSES), 8),
        ((DATA.permute(0, 2, 3, 1).numpy(), CLASSES.tolist()), 8),
        ((DATA.float() / 255, CLASSES), 8),
        (((DATA, CLASSES), (DATA[:8], CLASSES[:8])), 8),
        ({"train": (DATA, CLASSES), "test": (DATA[:4], CLASSES[:4])}, 4),
        (TorchSet(), 8),
        ((TorchSet(), TorchSet()), 40),
    ],
)
def test_arrays_and_torch_datasets(tmp_path: Path, dataset: Any, tests: int) -> None:
    made = delt_host.run(dataset=dataset, store=tmp_path / "store", out=tmp_path / "run", **TINY)
    assert made.results.data.classes == 4 and made.results.data.test_images == tests
    pool = {each.numpy().tobytes() for each in DATA}
    assert all(each.numpy().tobytes() in pool for each in made.images("random-real"))
    assert any("held out" in note for note in made.results.data.notes) is (
        tests == 8 and not isinstance(dataset[0], tuple) if isinstance(dataset, tuple) else tests == 8
    )


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ((DATA.float(), CLASSES), "the train data are float32 from 0 to 255: they must be uint8, or float from 0 to 1"),
        ((DATA[:, :, :4], CLASSES), "the train data are 8 x 4 px; they must be square"),
        ((DATA, CLASSES[:5]), "the train data have 40 images, and the classes of 5"),
        ((np.zeros((4, 5, 8, 8), np.uint8), [0, 0, 1, 1]), "the train data have 5 channels; they must be grey or RGB"),
        (3, "the train data cannot be read from a int: a dataset is a name"),
        ({"train": (DATA, CLASSES), "val": 3}, "a table of data has the keys train and test, not train, val"),
        ((DATA[:4], [0, 1, 2, 3]), "class '0' has 1 image: it takes two"),
    ],
)
def test_data_that_cannot_be_read(tmp_path: Path, dataset: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        delt_host.run(dataset=dataset, store=tmp_path / "store", out=tmp_path / "run", **TINY)
    assert said in str(caught.value)


def test_several_datasets_are_a_sweep(tmp_path: Path) -> None:
    made = delt_host.run(dataset=[(DATA, CLASSES), "digits"], store=tmp_path / "store", out=tmp_path / "run", **TINY)
    assert [*made.runs] == ["arrays", "digits"] and not made.failures
    assert made.runs["arrays"].images("random-real").shape == (4, 3, 8, 8)
    with pytest.raises(InputError, match="this is a sweep of 2 runs: take one, as .runs"):
        made.images("random-real")


def test_data_are_loaded_as_a_run_sees_them(tmp_path: Path) -> None:
    data = delt_host.load_data("digits", set={"dataset.image_size": 8}, store=tmp_path, quiet=True)
    assert data.image_size == 8 and len(data.train) == 1352 and len(repr(data)) < 400
    assert delt_host.load_data((DATA, CLASSES), store=tmp_path, quiet=True).num_classes == 4
    with pytest.raises(InputError, match="dataset digits has no option 'size'; did you mean 'image_size'"):
        delt_host.load_data("digits", set={"dataset.size": 8}, store=tmp_path)
