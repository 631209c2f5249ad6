"""Depthwise convolutions in float32 while the rest of a network computes in bfloat16 on a CPU.

oneDNN's gradient of a depthwise convolution is several times slower in bfloat16 than in float32.
"""
import types

import torch
from torch import nn


def keep_depthwise_in_float32(network):
    """Make a network's depthwise convolutions compute in float32 under CPU autocast. Returns the network.

    Their output keeps the dtype of their input. Other devices and float32 are not affected.
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
