"""ConvNet-D, the small network of the distillation literature (Gidaris and Komodakis 2018; as in RDED and DELT)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from delt_host import InputError

WIDTH = 128


class ConvNet(nn.Module):
    """D blocks of [3 x 3 convolution to `WIDTH` channels, BatchNorm, ReLU, 2 x 2 average pooling], then one linear layer.

    D = 3 for CIFAR (32 px), 4 for Tiny-ImageNet (64 px), 5 for ImageNette (128 px), 6 for ImageNet-100 (128 px). Takes
    (B, 3, S, S), gives (B, num_classes) logits. InputError where the image is too small for D poolings.
    """

    def __init__(
        self, depth: int, num_classes: int, image_size: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        if image_size < 2**depth:
            fits = max(image_size.bit_length() - 1, 0)
            raise InputError(
                f"convnet{depth} halves the image {depth} times and needs at least {2**depth} px, not {image_size}; "
                f"at most {fits} halvings fit"
            )
        blocks: list[nn.Module] = []
        channels = 3
        for _ in range(depth):
            blocks += [
                nn.Conv2d(channels, WIDTH, 3, padding=1),
                norm(WIDTH),
                nn.ReLU(inplace=True),
                nn.AvgPool2d(2),
            ]
            channels = WIDTH
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(WIDTH * (image_size // 2**depth) ** 2, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def instance_norm(channels: int) -> nn.Module:
    """One group a channel, as DC, DM and G-VBSM's ConvNet-W128 normalise; it keeps no running statistics."""
    return nn.GroupNorm(channels, channels)
