"""Where a folder's training and test images lie: `train/` and `test/` under the names that people give them, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from delt_host import InputError
from delt_plugins.datasets.walk import PassedOver, check_link, folders_in, images_below

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "eval", "evaluation")
"""Names of splits, in any case; of several that are there, the first."""


@dataclass(frozen=True)
class Layout:
    """The folder of a split's class folders, each."""

    train: Path
    test: Path | None
    """None: nothing is set apart, and a share of what is in `train` is to be held out."""
    notes: tuple[str, ...]
    """What a user would not expect of the folder's names: which were taken, what was left out."""


def layout_of(root: Path, within: Path | None = None) -> Layout:
    """Which folders of `root` are its splits; without splits, all are classes, and a folder that is alone in it is looked into.

    A folder with the name of a split is a class where nothing else says that there are splits: vehicles are cars, planes and
    trains. InputError where there are no class folders, or where nobody knows what to train on. Links as `images_in` has them.
    """
    folders = folders_in(root, PassedOver())
    training, testing = _named(TRAIN, folders), _named(TEST, folders)
    splits = [*training, *testing]
    if splits and ((training and testing) or len(splits) == len(folders) or any(map(_classes, splits))):
        return _of_splits(root, training, testing, folders, within)
    if not folders:
        way_out = (
            ", but images: put those of each class into a folder of its name" if images_below(root, within) else ""
        )
        raise InputError(f"{root} has no class folders{way_out}")
    if len(folders) == 1 and _classes(folders[0]):
        check_link(folders[0], within)
        inner = layout_of(folders[0], within)
        return Layout(
            inner.train, inner.test, (f"read from {folders[0].name}/, which is alone in {root}", *inner.notes)
        )
    for folder in folders:
        inside = folders_in(folder, PassedOver())
        if (train := _named(TRAIN, inside)) and (test := _named(TEST, inside)):
            raise InputError(
                f"the class folder {folder} has {train[0].name}/ and {test[0].name}/ in it; splits lie above the classes: "
                f"{root.name}/train/{folder.name}/, {root.name}/test/{folder.name}/"
            )
    return Layout(root, None, ())


def _of_splits(
    root: Path, training: Sequence[Path], testing: Sequence[Path], folders: Sequence[Path], within: Path | None
) -> Layout:
    if not training and len(testing) > 1:
        names = " and ".join(f"{each.name}/" for each in testing)
        raise InputError(f"{root} has {names}, but no train/ with a folder for each class")
    train = next(filter(_classes, training), training[0]) if training else testing[0]
    classes = _classes(train)
    labelled = [each for each in testing if each != train and _labelled(each, classes)]
    test = labelled[0] if labelled else None
    for split in filter(None, (train, test)):
        check_link(split, within)
    notes = []
    if test is not None and (train.name, test.name) != ("train", "test"):
        notes.append(f"trained on {train.name}/, tested on {test.name}/")
    left = [(each, images_below(each, within)) for each in folders if each not in (train, test)]
    told = [
        f"{each.name}/ ({count} image{'s' * (count != 1)}{', no class folders' * (each in testing and each not in labelled)})"
        for each, count in left
        if count
    ]
    return Layout(train, test, (*notes, *([f"left out: {', '.join(told)}"] if told else [])))


def _named(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """The folders of these names in any case, in the order of names; written in lower case first."""
    found = [folder for folder in folders if folder.name.casefold() in names]
    return sorted(found, key=lambda folder: (names.index(folder.name.casefold()), not folder.name.islower()))


def _classes(split: Path) -> list[str]:
    return [folder.name for folder in folders_in(split, PassedOver())]


def _labelled(split: Path, classes: Sequence[str]) -> bool:
    """Whether its folders are classes, and not the one that unlabelled images are put into (`test/images`, `test/unknown`)."""
    found = _classes(split)
    return len(found) > 1 or any(name in classes for name in found)
