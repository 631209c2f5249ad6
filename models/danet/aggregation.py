"""From dense correspondences to SMPL: a global branch for shape and camera, a limb branch for the 24 rotations.

The limb branch encodes each crop as a joint's rotation feature. Graph convolutions along the kinematic tree map it to
a position feature and back to a refined rotation feature (DaNet, section 3.3, position-aided refinement).
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock

from models.backbones.hrnet import residual_layer
from models.danet.graph import GraphLayer, LearnedGraph, ancestor_graph, neighbour_graph
from models.danet.parts import CROP_CHANNELS, NUM_JOINTS


@dataclass
class LimbPrediction:
    """rotations: list of [B,144] 6D rotations minus the mean pose, before and after refinement; positions: list of
    [B,24,3] joint positions in metres, from the features before and after refinement."""
    rotations: list
    positions: list


class MapEncoder(nn.Module):
    """maps [B,C,h,w] -> features [B, width * 2^(levels-1), h/(2*2^levels), ...]: a ResNet-18 of `levels` stages."""

    def __init__(self, channels, width, levels):
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width),
                                    nn.ReLU(inplace=True))
        self.conv1 = nn.Conv2d(width, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layers = nn.Sequential(*(
            residual_layer(BasicBlock, width * 2 ** max(i - 1, 0), width * 2 ** i, 2, stride=2 if i else 1)
            for i in range(levels)))
        self.out_channels = width * 2 ** (levels - 1)

    def forward(self, maps):
        stem = F.relu(self.bn1(self.conv1(self.reduce(maps))))
        return self.layers(self.pool(stem))


class GlobalBranch(nn.Module):
    """IUV maps [B,75,h,w] -> `outputs` numbers that are added to the mean parameters."""

    def __init__(self, width, outputs):
        super().__init__()
        self.encoder = MapEncoder(3 * 25, width, levels=4)
        self.predict = nn.Linear(self.encoder.out_channels, outputs)
        nn.init.xavier_uniform_(self.predict.weight, gain=0.01)

    def forward(self, maps):
        return self.predict(self.encoder(maps).mean((2, 3)))


class LimbBranch(nn.Module):
    """Part IUV maps [B,24,21,h,w] -> LimbPrediction. options: cfg.MODEL.DANET."""

    def __init__(self, options):
        super().__init__()
        size, hidden, layers = options.FEATURES, options.GRAPH_HIDDEN, options.GRAPH_LAYERS
        self.encoder = MapEncoder(3 * CROP_CHANNELS, options.LIMB_WIDTH, levels=3)
        self.joint_layer = nn.Sequential(JointwiseBlock(self.encoder.out_channels, size, stride=2),
                                         JointwiseBlock(size, size))
        self.to_position = GraphLayer(size, size)
        self.refine = nn.ModuleList(
            GraphLayer(size if i == 0 else hidden, size if i == layers - 1 else hidden) for i in range(layers))
        self.refine_graph = LearnedGraph()
        self.to_rotation = GraphLayer(size, size)
        self.register_buffer('ancestors', ancestor_graph(), persistent=False)
        self.register_buffer('neighbours', neighbour_graph(), persistent=False)
        self.rotation_heads = nn.ModuleList(JointwiseLinear(size, 6, gain=0.01) for _ in range(2))
        self.position_heads = nn.ModuleList(JointwiseLinear(size, 3) for _ in range(2))

    def forward(self, maps):
        limbs = self.encoder(maps.flatten(0, 1)).unflatten(0, (-1, NUM_JOINTS)).flatten(1, 2)
        # In float32: oneDNN's bfloat16 gradient of a strided grouped convolution with one output pixel is not finite.
        with torch.autocast(maps.device.type, enabled=False):
            return self._aggregate(self.joint_layer(limbs.float()).mean((2, 3)).unflatten(1, (NUM_JOINTS, -1)))

    def _aggregate(self, rotation):
        """Rotation features [B,24,n] -> LimbPrediction."""
        position = self.to_position(rotation, self.ancestors)
        refined, graph = position, self.refine_graph()
        for layer in self.refine:
            refined = layer(refined, graph)
        refined = position + refined
        rotation_refined = self.to_rotation(refined, self.neighbours)
        rotations = [head(f).flatten(1) for head, f in zip(self.rotation_heads, (rotation, rotation_refined))]
        positions = [head(f) for head, f in zip(self.position_heads, (position, refined))]
        return LimbPrediction(rotations, positions)


class JointwiseBlock(nn.Module):
    """A residual block with separate weights for every joint: [B,24*n,h,w] -> [B,24*m,h,w]."""

    def __init__(self, channels_in, channels, stride=1):
        super().__init__()
        total_in, total = channels_in * NUM_JOINTS, channels * NUM_JOINTS
        self.conv1 = nn.Conv2d(total_in, total, 3, stride=stride, padding=1, bias=False, groups=NUM_JOINTS)
        self.bn1 = nn.BatchNorm2d(total)
        self.conv2 = nn.Conv2d(total, total, 3, padding=1, bias=False, groups=NUM_JOINTS)
        self.bn2 = nn.BatchNorm2d(total)
        self.downsample = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(total_in, total, 1, stride=stride, bias=False, groups=NUM_JOINTS), nn.BatchNorm2d(total))

    def forward(self, maps):
        hidden = F.relu(self.bn1(self.conv1(maps)))
        return F.relu(self.bn2(self.conv2(hidden)) + self.downsample(maps))


class JointwiseLinear(nn.Module):
    """A linear map with separate weights for every joint: [B,24,n] -> [B,24,m]."""

    def __init__(self, size, outputs, gain=None):
        super().__init__()
        self.linear = nn.Conv2d(size * NUM_JOINTS, outputs * NUM_JOINTS, 1, groups=NUM_JOINTS)
        if gain:
            nn.init.xavier_uniform_(self.linear.weight, gain=gain)

    def forward(self, features):
        return self.linear(features.flatten(1)[..., None, None]).view(len(features), NUM_JOINTS, -1)


def clean_maps(index, u, v):
    """Stack U, V and the part as inputs of the branches, with all parts but each pixel's most likely one set to zero.

    index, u, v: [..., K, h, w] with the parts on the third axis from the end -> [..., 3 * K, h, w].
    """
    chosen = F.one_hot(index.argmax(-3), index.shape[-3]).movedim(-1, -3).to(u.dtype)
    return torch.cat([chosen * u, chosen * v, chosen], dim=-3)


def drop_parts(maps, dropped, channels):
    """PartDrop: set whole parts to zero. maps: [..., 3 * K, h, w] of clean_maps; dropped: [B,25] bool, False for the
    background; channels: [K] or [24,K], the part of each of the K channels."""
    keep = ~dropped[:, channels]  # [B,K] or [B,24,K]
    keep = torch.cat([keep] * 3, dim=-1)
    return maps * keep[..., None, None].to(maps.dtype)
