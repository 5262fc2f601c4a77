"""Tensors in a file are written and read a piece at a time, as safetensors itself writes and reads them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from delt_host.store import sealed, tensor_file
from delt_host.store.tensor_file import Streamed, TensorFile

DRAWN = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
TENSORS = {
    "images": torch.arange(2 * 3 * 5, dtype=torch.uint8).view(2, 3, 5),
    "labels": DRAWN[:4],
    "half": DRAWN[0].bfloat16(),
    "rate": torch.tensor(0.1),
    "none": torch.zeros(0, 7),
    "told": torch.tensor([True, False]),
    "across": torch.arange(6).view(2, 3).t(),
}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == each.dtype and torch.equal(found[name], each) for name, each in wanted.items()
    )


def test_safetensors_reads_what_is_written_and_the_other_way_round(tmp_path: Path) -> None:
    tensor_file.write(tmp_path / "ours", TENSORS, {"said": 'a "word" ü'})
    assert same(load_file(tmp_path / "ours"), TENSORS)
    assert TensorFile(tmp_path / "ours").metadata == {"said": 'a "word" ü'}
    save_file({name: each.contiguous() for name, each in TENSORS.items()}, tmp_path / "theirs")
    assert same(TensorFile(tmp_path / "theirs").all(), TENSORS)


def test_rows_are_read_in_the_order_asked_for(tmp_path: Path) -> None:
    numbers = DRAWN
    tensor_file.write(tmp_path / "file", {"numbers": numbers, "other": torch.ones(3)})
    file = TensorFile(tmp_path / "file")
    for rows in ([], [3], [4, 5, 6, 1, 1, 19, 0], list(range(20)), list(reversed(range(20)))):
        assert torch.equal(file.read("numbers", torch.tensor(rows, dtype=torch.int64)), numbers[rows])
    assert (file.shape("numbers"), file.dtype("numbers"), file.nbytes("numbers")) == ((20, 3), torch.float32, 240)
    with pytest.raises(IndexError, match="rows 0 to 19"):
        file.read("numbers", torch.tensor([20]))


def test_a_tensor_is_written_as_it_comes_and_must_be_what_was_announced(tmp_path: Path) -> None:
    whole = torch.arange(30, dtype=torch.int16).view(10, 3)
    streamed = Streamed(torch.int16, (10, 3), iter(whole.split(4)))
    sealed.write(tmp_path / "file", {"whole": streamed, "rate": TENSORS["rate"]}, {"of": "it"})
    file, facts = sealed.opened(tmp_path / "file")
    assert facts == {"of": "it"} and torch.equal(file.read("whole"), whole)
    for pieces, message in (
        (whole[:9].split(4), "9 rows, not 10"),
        (whole.float().split(4), "a piece of whole is torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            sealed.write(tmp_path / "other", {"whole": Streamed(torch.int16, (10, 3), pieces)}, {})
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_large_file_is_checked_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, counted = tmp_path / "file", []
    checksum = sealed._checksum
    monkeypatch.setattr(sealed, "_checksum", lambda file: counted.append(1) or checksum(file))
    sealed.write(place, {"x": torch.zeros(2**19)}, {})
    counted.clear()
    for _ in range(3):
        sealed.opened(place)
    assert len(counted) == 1
    with place.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    with pytest.raises(sealed.Damaged, match="checksum"):
        sealed.opened(place)


def test_memory_holds_a_piece_and_not_the_file(tmp_path: Path) -> None:
    script = f"""
import resource, torch
from pathlib import Path
from delt_host.store import sealed
from delt_host.store.tensor_file import Streamed
place = Path({str(tmp_path / "file")!r})
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def pieces():
    for _ in range(100):
        yield torch.ones(2, 2**20)
sealed.write(Path({str(tmp_path / "small")!r}), {{"x": torch.ones(2)}}, {{}})
before = peak()
sealed.write(place, {{"x": Streamed(torch.float32, (200, 2**20), pieces())}}, {{}})
file, _ = sealed.opened(place)
total = sum(float(file.read("x", torch.tensor([row])).sum()) for row in range(0, 200, 7))
assert total == 29 * 2**20
print(peak() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    assert grown * (1 if sys.platform == "darwin" else 1024) < 100 * 2**20  # of a file of 800 MiB
