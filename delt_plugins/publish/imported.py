"""A published distilled set as a row: its images as they are, nothing optimised. `delt-host import` writes the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from delt_host import Initializer, InputError, Problem, RealData, Start, hookimpl
from delt_plugins.publish.release import Release, read_release
from delt_plugins.publish.tensor_set import Space, is_tensor_set, read_tensor_set


class Imported(Initializer):
    """The images of a published set: a folder or zip file of class folders, or tensors in files."""

    path: str
    """The folder or file."""
    sha256: str
    """Of what was read: another content is refused, and is another entry in the store."""
    folders: tuple[str, ...] = ()
    """The classes' folders in the dataset's order, or the classes in the order of tensors' labels; empty: by name or number."""
    inside: str = ""
    """The folder of the release that holds the class folders, or the tensors' place in their file, where there are several."""
    mean: tuple[float, ...] = ()
    """What tensors are normalised with; empty: the dataset's."""
    std: tuple[float, ...] = ()
    """Likewise."""
    zca: bool = False
    """Whether tensors are whitened by the dataset's training images."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        # Read once, and mapped after that: the file would be gone through for every block of classes.
        found = problem.remember("released", lambda: self._tensors(problem.data))
        targets = found["targets"]
        if (ipc := len(targets) // problem.num_classes) != problem.count:
            raise InputError(f"{self.path} has {ipc} images of each class, {problem.count} are asked for (--ipc)")
        chosen = torch.cat([(targets == label).nonzero().flatten() for label in classes])
        labels = found["labels"][chosen] if "labels" in found else None
        return Start(found["pixels"][chosen], labels, found.get("learning_rate"))

    def _tensors(self, data: RealData) -> dict[str, Tensor]:
        found = self.read(data)
        if found.sha256 != self.sha256:
            raise InputError(f"{self.path} has changed since it was imported; import it anew")
        made = {"pixels": found.pixels, "targets": found.targets, "labels": found.labels}
        return {name: each for name, each in {**made, "learning_rate": found.learning_rate}.items() if each is not None}

    def read(self, data: RealData) -> Release:
        """The published set. InputError where it is none of these data."""
        path, space = Path(self.path), Space(self.mean, self.std, self.zca)
        if is_tensor_set(path):
            return read_tensor_set(path, data, space, self.folders, self.inside)
        if path.exists() and (given := space.given()):
            raise InputError(
                f"{path} is read as image files, whose values are known, not as tensors: leave out {given}"
            )
        return read_release(path, data.class_names, data.image_size, self.folders, self.inside)


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"imported": Imported}
