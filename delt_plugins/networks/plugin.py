"""Networks by name."""

from __future__ import annotations

from functools import partial

from delt_host import Builder, hookimpl
from delt_plugins.networks.convnet import ConvNet, instance_norm
from delt_plugins.networks.stems import mobilenet_v2, resnet, shufflenet_v2_x0_5, vgg11_bn
from delt_plugins.networks.wide_resnet import wrn_16_2


@hookimpl
def delt_models() -> dict[str, Builder]:
    return {
        "convnet3": partial(ConvNet, 3),
        "convnet4": partial(ConvNet, 4),
        "convnet5": partial(ConvNet, 5),
        "convnet6": partial(ConvNet, 6),
        "resnet18": partial(resnet, "resnet18"),
        "resnet34": partial(resnet, "resnet34"),
        "resnet50": partial(resnet, "resnet50"),
        "resnet101": partial(resnet, "resnet101"),
        "convnet3_in": partial(ConvNet, 3, norm=instance_norm),
        "mobilenet_v2": mobilenet_v2,
        "shufflenet_v2_x0_5": shufflenet_v2_x0_5,
        "vgg11_bn": vgg11_bn,
        "wrn_16_2": wrn_16_2,
    }
