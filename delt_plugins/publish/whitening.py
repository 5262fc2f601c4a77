"""ZCA whitening of a dataset's images, the space in which MTT and its successors keep theirs on CIFAR.

As kornia's ZCAWhitening with eps 0.1, fitted to the training images with values from 0 to 1: with S = U diag(s) Uᵀ the
covariance of the N images as rows of D = 3 S² values (divided by N - 1), whitened are (x - mean) U diag(1 / √(s + eps)) Uᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from delt_host import InputError

if TYPE_CHECKING:
    from delt_host import RealData

EPS = 0.1
LARGEST = 32  # pixels a side; of 64 the covariance takes over a gigabyte, and its eigenvectors half an hour
AT_ONCE = 1000  # images


@dataclass(frozen=True)
class Whitening:
    """A fitted one."""

    mean: Tensor
    """(D,) float32."""
    back: Tensor
    """(D, D) float32: from whitened rows to rows of values less their mean."""

    def inverse(self, images: Tensor) -> Tensor:
        """Whitened (B, 3, S, S) to values from 0 to 1."""
        return (images.flatten(1) @ self.back + self.mean).view_as(images)


def whitening(data: RealData, eps: float = EPS) -> Whitening:
    """Fitted to the training images. InputError where these are too large."""
    if data.image_size > LARGEST:
        raise InputError(
            f"whitened images are read up to {LARGEST} px a side, and those of {data.name} have {data.image_size}"
        )
    chunks = torch.arange(len(data.train)).split(AT_ONCE)

    def rows(chunk: Tensor) -> Tensor:
        return data.train.read(chunk).flatten(1).float() / 255

    mean = torch.stack([rows(chunk).double().sum(dim=0) for chunk in chunks]).sum(dim=0) / len(data.train)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in chunks:
        centred = rows(chunk) - mean.float()
        covariance += centred.T @ centred
    values, vectors = torch.linalg.eigh(covariance / (len(data.train) - 1))
    back = vectors * (values.clamp(min=0) + eps).sqrt() @ vectors.T
    return Whitening(mean.float(), back.float())
