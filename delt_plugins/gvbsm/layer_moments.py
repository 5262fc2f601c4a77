"""What is matched of a layer's input: moments of its channels and of its patches, of a batch and of each image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host.toolbox import batch_norms, channel_moments

Moments = dict[str, Tensor]
"""`mean` and `variance` over channels, `patch-mean` and `patch-variance` over the places of patches; each (N, D), float32."""


def layers_of(network: nn.Module) -> list[nn.Module]:
    """The layers whose inputs are matched, in module order: convolutions, and BatchNorms of maps."""
    norms = batch_norms(network)
    return [m for m in network.modules() if isinstance(m, nn.Conv2d) or (isinstance(m, nn.BatchNorm2d) and m in norms)]


def patch_of(layer: nn.Module, patch: int) -> int:
    """The side of a layer's patches: a BatchNorm is matched over channels alone."""
    return patch if isinstance(layer, nn.Conv2d) else 0


def moments(x: Tensor, groups: int, patch: int) -> Moments:
    """Of a map (G * B, C, H, W) for each of G groups, patches being of `patch` pixels a side; 0: none. Differentiable.

    With as many groups as images these are each image's own.
    """
    if groups == len(x) and x.device.type != "cpu":
        return of_each(x, patch)
    mean, variance = channel_moments(x, groups)
    found = {"mean": mean, "variance": variance}
    if patch:
        maps = in_whole_patches(x, patch)
        # Each pixel as a channel of its own: what a channels_last map is in memory.
        of_pixels = channel_moments(maps.permute(0, 2, 3, 1).flatten(1, 2), groups)
        mean, variance = (each.unflatten(1, maps.shape[2:]) for each in of_pixels)
        found |= of_patches(mean, variance, patch)
    return found


def of_each(x: Tensor, patch: int) -> Moments:
    """Moments (B, D) of each image of a map (B, C, H, W): its channels, or its pixels, as channels of one map.

    So one pass has them all, where an accelerator would wait for a few small ones an image; a processor is faster with these.
    """
    count, channels = x.shape[:2]
    mean, variance = (each.view(count, channels) for each in channel_moments(x.reshape(1, count * channels, -1)))
    found = {"mean": mean, "variance": variance}
    if patch:
        maps = in_whole_patches(x, patch).permute(0, 2, 3, 1)
        mean, variance = (each.view(maps.shape[:3]) for each in channel_moments(maps.reshape(1, -1, channels)))
        found |= of_patches(mean, variance, patch)
    return found


def of_batch(each: Moments) -> Moments:
    """Moments (1, D) of a batch from those of each of its images."""
    found = {}
    for mean, variance in (("mean", "variance"), ("patch-mean", "patch-variance")):
        if mean in each:
            spread, found[mean] = torch.var_mean(each[mean], dim=0, unbiased=False, keepdim=True)
            found[variance] = each[variance].mean(dim=0, keepdim=True) + spread
    return found


def in_whole_patches(x: Tensor, patch: int) -> Tensor:
    """The map, resized to the next multiple of `patch` where a side is none."""
    height, width = (-(-side // patch) * patch for side in x.shape[2:])
    if (height, width) == tuple(x.shape[2:]):
        return x
    # As products: the gradient of `interpolate` is summed in any order on a GPU. `real_moments` comes here under autocast.
    with torch.autocast(x.device.type, enabled=False):
        return _weights(x.shape[2], height, x).T @ x.float() @ _weights(x.shape[3], width, x)


def _weights(side: int, wanted: int, like: Tensor) -> Tensor:
    """(side, wanted): what each of `side` pixels counts in each of the `wanted` that a line is resized to."""
    each = torch.eye(side, device=like.device)[None]
    return F.interpolate(each, size=wanted, mode="linear", align_corners=False)[0]


def of_patches(mean: Tensor, variance: Tensor, patch: int) -> Moments:
    """Moments (N, places) of patches from those (N, H, W) of their pixels, places row by row."""
    cells = (len(mean), mean.shape[1] // patch, patch, mean.shape[2] // patch, patch)
    spread, centre = torch.var_mean(mean.view(cells), dim=(2, 4), unbiased=False)
    within = variance.view(cells).mean(dim=(2, 4))
    return {"patch-mean": centre.flatten(1), "patch-variance": (within + spread).flatten(1)}
