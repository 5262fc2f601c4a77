"""Forms: how the images of a distilled set are stored, and so what of them is optimised, counted and paid for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from delt_host.contracts.component import Component
from delt_host.images.codec import through_jpeg
from delt_host.images.normalization import Normalization


class Form(Component):
    """Between images and what lies in a file. A set is made of units; each decodes to `cells` images of one class.

    IPC is a budget: the bytes of that many raw images a class. A form says how many units these bytes buy.
    """

    cells: ClassVar[int] = 1
    """Images that a unit decodes to. Image i of a set is cell ``i % cells`` of unit ``i // cells``."""

    def units(self, ipc: int, image_size: int) -> int:
        """Stored units a class, which take no more bytes than `ipc` raw images: what plans count."""
        return ipc

    @abstractmethod
    def latents(self, images: Tensor) -> dict[str, Tensor]:
        """What is optimised in place of images (U * cells, 3, S, S) float32, normalised: tensors of U units each."""

    @abstractmethod
    def decode(self, latents: Mapping[str, Tensor]) -> Tensor:
        """The images (U * cells, 3, S, S), normalised, that latents of U units stand for; differentiable."""

    def keep_valid(self, latents: Mapping[str, Tensor], low: Tensor, high: Tensor) -> None:
        """Bring latents back in place to what can be stored, after each step; `low`, `high` (1, 3, 1, 1) are black and white,
        normalised. By default every latent is taken for pixels."""
        for each in latents.values():
            torch.clamp(each, low, high, out=each)

    @abstractmethod
    def pack(self, latents: Mapping[str, Tensor], normalization: Normalization) -> dict[str, Tensor]:
        """What lies in the file, of U units each, made of latents as recovery leaves them, without a gradient."""

    @abstractmethod
    def read(self, packed: Mapping[str, Tensor], cells: Tensor) -> Tensor:
        """B images as uint8 RGB (B, 3, S, S), from what was packed of the unit that each is in, of B units, in memory; `cells`
        (B,) int64 says which image of its unit each is."""


class Pixels(Form):
    """Images as they are, in whole numbers of 0 to 255."""

    rounding: Literal["nearest", "floor"] = "nearest"
    """How recovered pixels become whole numbers; `floor` is what the published code does."""
    codec: Literal["lossless", "jpeg-q75"] = "lossless"
    """`jpeg-q75`: through Pillow's default JPEG, as the published sets are stored. It saves no bytes here."""

    def latents(self, images: Tensor) -> dict[str, Tensor]:
        return {"images": images}

    def decode(self, latents: Mapping[str, Tensor]) -> Tensor:
        return latents["images"]

    def pack(self, latents: Mapping[str, Tensor], normalization: Normalization) -> dict[str, Tensor]:
        pixels = normalization.denormalize(latents["images"], self.rounding)
        return {"images": pixels if self.codec == "lossless" else through_jpeg(pixels, 75)}

    def read(self, packed: Mapping[str, Tensor], cells: Tensor) -> Tensor:
        return packed["images"]
