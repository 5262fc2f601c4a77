"""Training images that are held out to develop with, so that test images choose nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from torch import Tensor

from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.dataset import RealData, Split
from delt_host.contracts.held_out import held_out
from delt_host.contracts.in_memory import mean_and_std

LOOKED_AT = "test images are not looked at under --validate: problem.data.scored has what scores are of"


class Sealed(Split):
    """A split that nobody may look at: not at its images, nor, without `targets`, at its classes or how many there are."""

    def __init__(self, said: str = LOOKED_AT, targets: Tensor | None = None, error: type[Exception] = RunError) -> None:
        self._said, self._open, self._error = said, targets, error

    @property
    def targets(self) -> Tensor:  # type: ignore[override]
        """(N,) class indices, or the error."""
        if self._open is None:
            raise self._error(self._said)
        return self._open

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def read(self, indices: Tensor) -> Tensor:
        """The error in place of the images at `indices` (B,), (B, 3, S, S)."""
        raise self._error(self._said)

    def original(self, index: int) -> Tensor:
        """The error likewise."""
        raise self._error(self._said)


def check_share(share: float) -> float:
    """InputError for a share of the training images that cannot be held out; 0 holds out none."""
    if not 0 <= share < 1:
        raise InputError(
            f"--validate is the share of the training images to hold out, from 0 (none) to below 1 (0.2: a fifth), "
            f"not {share:g}"
        )
    return share


def with_validation(data: RealData, share: float) -> RealData:
    """The data with `share` of each class's training images held out as what scores are of, and test images sealed.

    The draw is by class alone, whatever the seeds of a run are: whoever holds out the same share of the same data holds out the
    same images. Mean and std are those of the images that are left. InputError for a class of fewer than two images.
    """
    if not check_share(share):
        return data
    try:
        kept, held = held_out(data.train.targets, share, class_names=data.class_names)
    except InputError as error:
        raise InputError(f"--validate {share:g} holds out images of every class of {data.name}: {error}") from None
    train = data.train.part(kept)
    # Of data that nobody has indexed no image is read.
    mean, std = (data.mean, data.std) if data.unread else mean_and_std(train)
    drawn = hashlib.sha256(f"{data.fingerprint} without {share!r} held out to validate".encode()).hexdigest()
    note = (
        f"scored on {len(held)} validation images ({100 * share:g} % of the training data, held out); "
        "test images were not looked at"
    )
    return replace(
        data,
        mean=mean,
        std=std,
        train=train,
        test=Sealed(),
        validation=data.train.part(held, scored=True),
        fingerprint=drawn,
        notes=(*data.notes, note),
    )
