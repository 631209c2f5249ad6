"""From image features to dense correspondences: of the whole body and of 24 crops around its joints."""
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from models.backbones.hrnet import residual_layer
from models.danet.part_crops import PartCrops, crop, expected_positions
from models.danet.parts import CROP_CHANNELS, NUM_JOINTS
from models.pymaf import IUVHead, deconv_block


@dataclass
class PartPrediction:
    """centers [B,24,2] predicted joints in [-1, 1]; transforms [B,24,2,3] of the crops; iuv [B,24,3,7,h,w]: U, V and
    part scores of the background and of the six parts in each crop (models/danet/parts.py)."""
    centers: torch.Tensor
    transforms: torch.Tensor
    iuv: torch.Tensor


class IUVEstimator(nn.Module):
    """features [B,C,h,w] -> (DenseOutput, PartPrediction or None). options: cfg.MODEL.DANET.

    A low-resolution backbone (ResNet) needs transposed convolutions first; HRNet needs none.
    """

    def __init__(self, channels, assets, body, options):
        super().__init__()
        widths = [channels, *options.DECONV_FILTERS]
        self.deconv = nn.Sequential(*(deconv_block(a, b, 4) for a, b in zip(widths, widths[1:])))
        self.global_head = IUVHead(widths[-1])
        self.decomposed, self.crop_size = options.DECOMPOSED, options.CROP_SIZE
        if self.decomposed:
            self.joint_head = JointHead(widths[-1])
            self.crops = PartCrops(assets, body, options)
            # Grouped: one convolution per joint.
            self.part_head = nn.Conv2d(widths[-1] * NUM_JOINTS, 3 * CROP_CHANNELS * NUM_JOINTS, 3, padding=1,
                                       groups=NUM_JOINTS)

    def forward(self, features):
        features = self.deconv(features)
        dense = self.global_head(features)
        if not self.decomposed:
            return dense, None
        centers = expected_positions(self.joint_head(features))
        transforms = self.crops(centers.detach(), dense.index.argmax(1))
        cut = crop(features, transforms, self.crop_size or features.shape[-1])
        iuv = self.part_head(cut.flatten(1, 2)).unflatten(1, (NUM_JOINTS, 3, CROP_CHANNELS))
        return dense, PartPrediction(centers, transforms, iuv)


class JointHead(nn.Module):
    """features [B,C,h,w] -> heat maps [B,24,h,w] of SMPL's joints."""

    def __init__(self, channels):
        super().__init__()
        width = channels // Bottleneck.expansion
        self.blocks = residual_layer(Bottleneck, channels, width, 3)
        # HRNet-W18 has 18 channels, which the expansion does not divide.
        self.predict = nn.Conv2d(width * Bottleneck.expansion, NUM_JOINTS, 3, padding=1)

    def forward(self, features):
        return self.predict(self.blocks(features))
