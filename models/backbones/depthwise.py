"""Depthwise convolutions in float32 where the rest of a network computes in bfloat16 on a CPU.

oneDNN differentiates a depthwise convolution in bfloat16 several times slower than in float32.
"""
import types

import torch
from torch import nn


def keep_depthwise_in_float32(network):
    """Make the depthwise convolutions of a network compute in float32 under the CPU's autocast -> the network.

    What they return keeps the type of what they are given. Other devices and plain float32 are not touched.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels:
            module.forward = types.MethodType(_forward, module)
    return network


def _forward(convolution, images):
    plain = type(convolution).forward
    if images.device.type != 'cpu' or not torch.is_autocast_enabled('cpu'):
        return plain(convolution, images)
    with torch.autocast('cpu', enabled=False):
        return plain(convolution, images.float()).to(images.dtype)
