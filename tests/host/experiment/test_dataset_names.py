"""What is said where a dataset is named by its folder alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from delt_host.basics.errors import InputError
from delt_host.experiment.parts import Parts
from delt_host.plugins.registry import load_registry


def refused(dataset: object) -> str:
    with pytest.raises(InputError) as error:
        Parts(load_registry(), dataset, {})
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["photos", "./photos", "photos/birds", "{here}/photos", "~/photos", "photos:", "with: colon"]
)
def test_a_folder_without_its_dataset_is_recognised(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos/birds").mkdir(parents=True)
    (tmp_path / "with: colon").mkdir()
    name = name.format(here=tmp_path)
    meant = f"folder:{name.removesuffix(':')}"
    assert refused(name).endswith(f"which is a folder here; did you mean {meant}?")
    assert Parts(load_registry(), meant, {}).dataset.name == "folder"
    assert refused({"name": name}) == refused(name) or name.endswith(":")


def test_a_path_to_nothing_and_a_name_of_nothing(tmp_path: Path) -> None:
    assert refused("./phots") == "unknown dataset './phots', and no such folder; a folder of images is folder:PATH"
    assert re.match("unknown dataset 'cifr10'; did you mean 'cifar10'", refused("cifr10"))
    (tmp_path / "cifar10").mkdir()
    assert Parts(load_registry(), "cifar10", {}).dataset.name == "cifar10", "a name that is known stays one"


def test_a_dataset_without_its_place_says_how_it_is_given() -> None:
    assert refused("folder") == refused({"name": "folder"}) == "dataset folder is read from a place: folder:PATH"
    assert Parts(load_registry(), "folder", {"dataset.path": "."}).dataset.name == "folder"
