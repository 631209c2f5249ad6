"""CLIFF: HMR that gets the place of its crop and projects into the full picture.

Li et al., "CLIFF: Carrying Location Information in Full Frames into Human Pose and Shape Estimation", ECCV 2022.
"""
from dataclasses import replace

import torch
from yacs.config import CfgNode as CN

from models import Regressor, register
from models.adversary import BodyDiscriminator
from models.backbones import build_backbone
from models.output import RegressorOutput, Stage
from models.regressor import MeanParameters, ParameterHead, pose6d_to_rotmat
from utils.camera import resized_bbox_info
from utils.errors import BadConfig
from utils.full_camera import FullCamera


@register('cliff')
class CLIFF(Regressor):
    """images [B,3,R,R], of which the middle 3/4 of the columns are used, and bbox_info [B,3]
    (`utils.camera.bbox_info`) -> stages: the mean parameters, then one per refinement; only the last is supervised.

    bbox_info describes the crop in the full picture, whose camera projects the joints. With DATA.BOX_SHARE the
    network gets a smaller box with the same centre, and its weak-perspective camera refers to that box.
    """
    published_source = 'cliff'
    camera_frames = ('picture',)
    inputs = ('bbox_info',)
    box_margin = 1.1
    box_aspect = 256 / 192

    @staticmethod
    def add_config(model):
        section = model.CLIFF = CN()
        section.N_ITER = 3  # refinements of the mean parameters
        section.HIDDEN = 1024  # width of the two hidden layers

    def __init__(self, cfg):
        super().__init__(cfg)
        self.backbone = build_backbone(cfg.MODEL.BACKBONE.NAME)
        self.head = ParameterHead(self.backbone.out_channels + 3, cfg.MODEL.CLIFF.HIDDEN, cfg.MODEL.HEAD_DROPOUT)
        self.mean = MeanParameters(self.assets)
        self.n_iter, self.box_share = cfg.MODEL.CLIFF.N_ITER, cfg.DATA.BOX_SHARE
        if self.box_share != 1:  # mmhuman3d's boxes are squares with a margin already
            self.box_aspect, self.box_margin = 1.0, Regressor.box_margin / self.box_share
        if self.n_iter < 1:
            raise BadConfig(f'MODEL.CLIFF.N_ITER is {self.n_iter}; it must be at least 1')

    def build_adversary(self, cfg):
        return BodyDiscriminator()

    def forward(self, images, bbox_info):
        margin = images.shape[-1] // 8
        features = self.backbone(images[..., margin:images.shape[-1] - margin]).mean((2, 3))
        told = bbox_info if self.box_share == 1 else resized_bbox_info(bbox_info, self.box_share)
        features = torch.cat([features, told.to(features.dtype)], 1)
        full_camera = FullCamera.of_bbox_info(bbox_info)
        estimate = self.mean.expand(len(images))
        mean = self.mean.stage(len(images), self.body, full_camera=full_camera)
        stages = [replace(mean, camera=self._in_crop(mean.camera))]
        for i in range(self.n_iter):
            pose, shape, camera = estimate = self.head(features, *estimate)
            stages.append(Stage(pose6d_to_rotmat(pose), shape.float(), self._in_crop(camera.float()), self.body,
                                supervised=i == self.n_iter - 1, full_camera=full_camera))
        return RegressorOutput(stages)

    def _in_crop(self, camera):
        """Cameras [B,3] of the network's box as cameras of the crop. The body does not move."""
        return camera if self.box_share == 1 else torch.cat([self.box_share * camera[:, :1], camera[:, 1:]], 1)
