"""Networks by name."""

from __future__ import annotations

from delt_host import Builder, hookimpl
from delt_plugins.networks import convnet, mobilenet, stems
from delt_plugins.networks.wide_resnet import wrn_16_2


@hookimpl
def delt_models() -> dict[str, Builder]:
    return {
        "convnet3": convnet.convnet3,
        "convnet4": convnet.convnet4,
        "convnet5": convnet.convnet5,
        "convnet6": convnet.convnet6,
        "resnet18": stems.resnet18,
        "resnet34": stems.resnet34,
        "resnet50": stems.resnet50,
        "resnet101": stems.resnet101,
        "convnet1_in": convnet.convnet1_in,
        "convnet2_in": convnet.convnet2_in,
        "convnet3_in": convnet.convnet3_in,
        "convnet3_in_w32": convnet.convnet3_in_w32,
        "mobilenet_v2": mobilenet.mobilenet_v2,
        "mobilenet_v2_half": mobilenet.mobilenet_v2_half,
        "shufflenet_v2_x0_5": stems.shufflenet_v2_x0_5,
        "shufflenet_v2_half": stems.shufflenet_v2_half,
        "vgg11_bn": stems.vgg11_bn,
        "wrn_16_2": wrn_16_2,
    }
