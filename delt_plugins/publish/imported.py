"""A published distilled set as a row: its images as they are, nothing optimised. `delt-host import` writes the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from delt_host import Initializer, InputError, Problem, Start, hookimpl
from delt_plugins.publish.release import read_release


class Imported(Initializer):
    """The images of a published set, a folder or zip file of class folders."""

    path: str
    """The folder or zip file."""
    sha256: str
    """Of the images' files: another content is refused, and is another entry in the store."""
    folders: tuple[str, ...] = ()
    """The classes' folders in the dataset's order; empty: by name or number."""
    inside: str = ""
    """The folder of the release that holds the class folders, where there are several."""

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        found = read_release(Path(self.path), problem.class_names, problem.image_size, self.folders, self.inside)
        if found.sha256 != self.sha256:
            raise InputError(f"{self.path} has changed since it was imported; import it anew")
        if found.ipc != problem.count:
            raise InputError(f"{self.path} has {found.ipc} images of each class, {problem.count} are asked for (--ipc)")
        return Start(torch.cat([found.pixels[found.targets == label] for label in classes]))


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"imported": Imported}
