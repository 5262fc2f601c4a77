"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from delt_host.store import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "write",
    [
        lambda place: files.write(place, "text"),
        lambda place: files.write_tensors(place, {"x": torch.ones(2)}),
    ],
)
def test_a_file_has_the_mode_of_any_new_one_or_of_the_folder_it_is_like(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    with umask(0o027):
        write(tmp_path / "new" / "file")
    assert (mode(tmp_path / "new"), mode(tmp_path / "new" / "file")) == (0o750, 0o640)


def test_what_is_in_a_shared_folder_is_shared_whatever_the_umask(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    with umask(0o077):
        files.write(tmp_path / "stage" / "file", b"", like=tmp_path)
        files.write_tensors(tmp_path / "tensors", {"x": torch.ones(2)}, like=tmp_path)
        with files.making_folder(tmp_path / "stage" / "key", like=tmp_path) as made:
            (made / "inside").touch()
    assert [mode(tmp_path / each) for each in ("stage", "stage/key")] == [0o2775, 0o2775]
    assert [mode(tmp_path / each) for each in ("stage/file", "tensors")] == [0o664, 0o664]


def test_a_file_that_could_not_be_written_leaves_the_former_one_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "file"
    files.write(place, "former")
    with pytest.raises(OSError, match="full"), files.writing(place) as beside:
        beside.write_text("half")
        raise OSError("the disk is full")
    assert place.read_text() == "former"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_takes_its_place_as_a_whole_and_no_others(tmp_path: Path) -> None:
    place = tmp_path / "made"
    with files.making_folder(place) as inside:
        (inside / "file").touch()
        assert not place.exists()
    assert [each.name for each in place.iterdir()] == ["file"]
    with pytest.raises(OSError, match="not empty|exists"), files.making_folder(place) as inside:
        (inside / "other").touch()
    assert [each.name for each in place.iterdir()] == ["file"]
    assert list(tmp_path.iterdir()) == [place]
