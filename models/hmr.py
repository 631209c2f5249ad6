"""HMR and SPIN: one feature vector per image and iteratively refined pose, shape and camera.

Kanazawa et al., CVPR 2018; Kolotouros et al., ICCV 2019 (6D rotations; SMPLify in the loop is in the trainer).
"""
from yacs.config import CfgNode as CN

from models import Regressor, register
from models.adversary import BodyDiscriminator
from models.backbones import build_backbone
from models.output import RegressorOutput, Stage
from models.regressor import MeanParameters, ParameterHead, pose6d_to_rotmat
from utils.errors import BadConfig


@register('hmr')
@register('hmr-spin')  # its name in PyMAF's demo
@register('spin')
class HMR(Regressor):
    """images [B,3,H,W] -> stages: the mean parameters, then one per refinement; only the last is supervised."""
    published_source = 'spin'
    fits_config = 'spin'

    @staticmethod
    def add_config(model):
        section = model.HMR = CN()
        section.N_ITER = 3  # refinements of the mean parameters
        section.HIDDEN = 1024  # width of the two hidden layers

    def __init__(self, cfg):
        super().__init__(cfg)
        self.backbone = build_backbone(cfg.MODEL.BACKBONE.NAME)
        self.head = ParameterHead(self.backbone.out_channels, cfg.MODEL.HMR.HIDDEN, cfg.MODEL.HEAD_DROPOUT)
        self.mean = MeanParameters(self.assets)
        self.n_iter = cfg.MODEL.HMR.N_ITER
        if self.n_iter < 1:
            raise BadConfig(f'MODEL.HMR.N_ITER is {self.n_iter}; it must be at least 1')

    def build_adversary(self, cfg):
        return BodyDiscriminator()

    def forward(self, images):
        features = self.backbone(images).mean((2, 3))
        estimate = self.mean.expand(len(images))
        stages = [self.mean.stage(len(images), self.body)]
        for i in range(self.n_iter):
            estimate = self.head(features, *estimate)
            stages.append(self._stage(estimate, supervised=i == self.n_iter - 1))
        return RegressorOutput(stages)

    def _stage(self, estimate, supervised):
        pose, shape, camera = estimate
        return Stage(pose6d_to_rotmat(pose), shape.float(), camera.float(), self.body, supervised)
