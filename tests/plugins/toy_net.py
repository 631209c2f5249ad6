"""A regressor and a dataset that a user writes outside of the project, by README's plug-in contract."""
import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode as CN

from datasets import register_dataset
from models import Regressor, register
from models.output import RegressorOutput, Stage
from models.regressor import MeanParameters, pose6d_to_rotmat


@register('toy_net')
class ToyNet(Regressor):
    """Mean parameters plus a change that two linear layers predict from 8 x 8 pixels and the box's centre."""
    inputs = ('center',)

    @staticmethod
    def add_config(model):
        model.TOY_NET = CN()
        model.TOY_NET.WIDTH = 64
        model.TOY_NET.BRIGHTNESS_W = 1.0

    def __init__(self, cfg):
        super().__init__(cfg)
        self.mean = MeanParameters(self.assets)
        self.body_net = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, cfg.MODEL.TOY_NET.WIDTH),
                                      nn.ReLU())
        self.head = nn.Linear(cfg.MODEL.TOY_NET.WIDTH + 2, 144 + 10 + 3)
        self.brightness = nn.Linear(cfg.MODEL.TOY_NET.WIDTH, 1)
        self.frozen = nn.Linear(4, 4)
        self.weight = cfg.MODEL.TOY_NET.BRIGHTNESS_W
        nn.init.normal_(self.head.weight, std=1e-3)

    def forward(self, images, center):
        features = self.body_net(images)
        pose, shape, camera = (mean + change for mean, change in zip(
            self.mean.expand(len(images)), self.head(torch.cat([features, center / 1000], 1)).split([144, 10, 3], 1)))
        return RegressorOutput([Stage(pose6d_to_rotmat(pose), shape, camera, self.body)],
                               extras={'brightness': self.brightness(features)[:, 0]})

    def auxiliary_losses(self, out, targets):
        if 'brightness' not in targets.labels:
            return {}
        error = (out.extras['brightness'] - targets.labels['brightness']).square()
        return {'brightness': self.weight * (error * targets.labels['has_brightness']).mean()}

    def param_groups(self, cfg):
        slow = [*self.body_net.parameters(), *self.brightness.parameters()]
        return [{'params': slow, 'lr': 0.1 * cfg.SOLVER.BASE_LR}, {'params': list(self.head.parameters())}]


@register_dataset('noise')
class Noise:
    """Twelve grey pictures with a keypoint each, and a label that only ToyNet knows."""

    def __init__(self, cfg, split):
        self.length = 12 if split == 'train' else 4

    def __len__(self):
        return self.length

    def __getitem__(self, row):
        keypoints = np.zeros((49, 3), np.float32)
        keypoints[25:, :] = (40, 50, 1)
        return {'image': np.full((100, 80, 3), 20 * row, np.uint8), 'bbox': (10, 10, 50, 80),
                'keypoints_2d': keypoints, 'pose': np.zeros(72, np.float32), 'betas': np.zeros(10, np.float32),
                'brightness': np.float32(row / 12)}
