"""ConvNet-D, the small network of the distillation literature (Gidaris and Komodakis 2018), as papers have and call it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from delt_host import InputError

WIDTH = 128


class ConvNet(nn.Module):
    """D blocks of [3 x 3 convolution to `width` channels, norm, ReLU, 2 x 2 average pooling], then one linear layer.

    Takes (B, 3, S, S), gives (B, num_classes) logits. InputError where the image is too small for D poolings. Names of its
    tensors are those of DC, and so of DSA, DM, MTT, G-VBSM and EDC.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        image_size: int,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        width: int = WIDTH,
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
                nn.Conv2d(channels, width, 3, padding=1),
                norm(width),
                nn.ReLU(inplace=True),
                nn.AvgPool2d(2),
            ]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(width * (image_size // 2**depth) ** 2, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def instance_norm(channels: int) -> nn.Module:
    """One group a channel, as DC, DM and G-VBSM normalise; it keeps no running statistics."""
    return nn.GroupNorm(channels, channels)


def convnet3(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of three blocks with BatchNorm, for 32 px: `conv3` of RDED and DELT, `ConvNetBN` of DC."""
    return ConvNet(3, num_classes, image_size)


def convnet4(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of four blocks with BatchNorm, for 64 px: `conv4` of RDED and DELT."""
    return ConvNet(4, num_classes, image_size)


def convnet5(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of five blocks with BatchNorm, for 128 px: `conv5` of RDED and DELT."""
    return ConvNet(5, num_classes, image_size)


def convnet6(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of six blocks with BatchNorm, for 128 px: `conv6` of RDED and DELT."""
    return ConvNet(6, num_classes, image_size)


def convnet1_in(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of one block with instance norm: `ConvNetD1` of DC and EDC."""
    return ConvNet(1, num_classes, image_size, instance_norm)


def convnet2_in(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of two blocks with instance norm: `ConvNetD2` of DC and EDC."""
    return ConvNet(2, num_classes, image_size, instance_norm)


def convnet3_in(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of three blocks with instance norm: `ConvNetW128` of DC, G-VBSM and EDC, at 64 px too; DC's `ConvNet`,
    `ConvNetD3` and `ConvNetIN`."""
    return ConvNet(3, num_classes, image_size, instance_norm)


def convnet3_in_w32(num_classes: int, image_size: int) -> nn.Module:
    """ConvNet of three blocks of 32 channels with instance norm: `ConvNetW32` of DC and EDC."""
    return ConvNet(3, num_classes, image_size, instance_norm, width=32)
