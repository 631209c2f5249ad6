"""Depthwise convolutions compute in float32 under the CPU's autocast."""
import copy

import pytest
import torch
from torch import nn

from models.backbones import build_backbone
from models.backbones.depthwise import keep_depthwise_in_float32

pytest.importorskip('timm')


def pair():
    """(a depthwise convolution, images in bfloat16, as layers get them under autocast)."""
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    return convolution, torch.randn(2, 8, 6, 6).bfloat16()


def test_it_computes_in_float32_and_returns_the_type_that_it_is_given():
    convolution, images = pair()
    wanted = convolution(images.float())
    kept = keep_depthwise_in_float32(copy.deepcopy(convolution))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        plain, found = convolution(images), kept(images)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, wanted.bfloat16())
    assert not torch.equal(plain, wanted.bfloat16())  # autocast rounds weights too


def test_gradients_are_those_of_float32():
    convolution, images = pair()
    kept = keep_depthwise_in_float32(copy.deepcopy(convolution))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        kept(images).float().sum().backward()
    convolution(images.float()).sum().backward()
    assert torch.allclose(kept[0].weight.grad, convolution[0].weight.grad, rtol=1e-5, atol=1e-5)


def test_copies_have_weights_of_their_own():
    kept = keep_depthwise_in_float32(pair()[0])
    twin = copy.deepcopy(kept)
    with torch.no_grad():
        twin[0].weight.zero_()
        twin[0].bias.zero_()
    assert twin(torch.ones(1, 8, 4, 4)).abs().max() == 0 and kept(torch.ones(1, 8, 4, 4)).abs().max() > 0


def test_backbones_of_timm_keep_theirs(monkeypatch):
    backbone = build_backbone('timm/tf_efficientnet_lite0')
    depthwise = [module for module in backbone.modules() if isinstance(module, nn.Conv2d) and module.groups > 1]
    seen, original = [], torch.nn.functional.conv2d

    def conv2d(images, weight, *others):
        if others[-1] > 1:  # groups
            seen.append((images.dtype, torch.is_autocast_enabled('cpu')))
        return original(images, weight, *others)
    monkeypatch.setattr(torch.nn.functional, 'conv2d', conv2d)
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        backbone(torch.randn(1, 3, 64, 64))
    assert len(depthwise) == 16 and seen == [(torch.float32, False)] * 16
