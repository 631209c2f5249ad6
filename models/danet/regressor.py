"""DaNet: dense correspondences of the body and its parts, aggregated to SMPL's parameters.

Zhang et al., "Learning 3D Human Shape and Pose from Dense Body Parts", TPAMI 2020.
"""
import torch
from yacs.config import CfgNode as CN

from models import Regressor, register
from models.backbones import build_backbone
from models.danet.aggregation import GlobalBranch, LimbBranch, clean_maps, drop_parts
from models.danet.iuv_estimator import IUVEstimator
from models.danet.losses import danet_losses
from models.danet.parts import crop_to_body_parts
from models.output import RegressorOutput, Stage
from models.regressor import MeanParameters, pose6d_to_rotmat
from utils.rendering import colorize_iuv


@register('danet')
class DaNet(Regressor):
    """images [B,3,H,W] -> stages: the mean parameters, the rotations before refinement and the refined ones; and the
    dense prediction. Only the last stage gets the common losses.

    In the first TRAIN.PRETR_STEP training steps only the dense correspondences are learned, and the output has the
    mean parameters as its only stage. Without MODEL.DANET.DECOMPOSED the global branch predicts everything.
    """
    published_source = 'danet'

    @staticmethod
    def add_config(model):
        section = model.DANET = CN()
        section.DECOMPOSED = True  # False: the global branch predicts everything
        section.DECONV_FILTERS = []  # channels of transposed convolutions after the backbone; ResNets need three
        section.CROP_SIZE = 0  # side of a part crop in pixels; 0: that of the features
        section.GLOBAL_WIDTH = 64  # channels of the global branch's first level (ResNet-18: 64)
        section.LIMB_WIDTH = 64  # channels of the limb branch's first level; the branch runs on every crop
        section.FEATURES = 128  # length of each joint's rotation and position feature
        section.GRAPH_HIDDEN = 256  # length of the features within the refinement
        section.GRAPH_LAYERS = 3  # graph convolutions of the refinement, at least 1
        section.PART_DROPOUT = 0.3  # training: share of the 24 parts that are hidden from both branches
        section.VISIBLE_SCORE = 0.5  # a joint is hidden, and its crop large, if its parts score less at its place
        section.CENTER_JITTER = 0.1  # training: range of the crops' random shift ([-1, 1] over the picture)
        section.SCALE_JITTER = 0.2  # training: range of the crops' random scale factor around 1
        section.CENTER_W = 1.0  # loss of the crops' centres
        section.POSITION_W = 1.0  # loss of the joint positions before and after refinement
        section.ORTHOGONAL_W = 0.0  # loss of the 6D rotations' axes: unit length and perpendicular
        section.POINT_INDEX_W = 0.3  # loss of the part at annotated points (DensePose-COCO)
        section.POINT_SEGMENT_W = 2.0  # loss of the annotated coarse segments
        section.POINT_UV_W = 0.5  # loss of U and V at annotated points
        # Losses of DaNet's first release against the target body. 0: not used.
        section.POSE_L1_W = 0.0  # absolute error of the rotations of every stage
        section.SHAPE_CAMERA_L1_W = 0.0  # absolute error of camera and betas together
        section.TARGET_KP_2D_W = 0.0  # 2D keypoints of the estimated pose with the target's betas and camera
        section.TARGET_KP_3D_W = 0.0  # 3D keypoints of the estimated pose with the target's betas
        section.TARGET_MESH_W = 0.0  # meshes of the estimated pose with the target's betas, and the reverse

    def __init__(self, cfg):
        super().__init__(cfg)
        options = cfg.MODEL.DANET
        self.cfg = cfg
        self.backbone = build_backbone(cfg.MODEL.BACKBONE.NAME)
        self.mean = MeanParameters(self.assets)
        self.estimator = IUVEstimator(self.backbone.out_channels, self.assets, self.body, options)
        self.decomposed = options.DECOMPOSED
        self.global_branch = GlobalBranch(options.GLOBAL_WIDTH, 13 if self.decomposed else 13 + 144)
        if self.decomposed:
            self.limb_branch = LimbBranch(options)
        self.part_dropout = options.PART_DROPOUT
        self.register_buffer('crop_parts', crop_to_body_parts(), persistent=False)
        self.register_buffer('all_parts', torch.arange(25), persistent=False)
        self.iuv_only = cfg.TRAIN.PRETR_STEP > 0

    @staticmethod
    def has_unused_parameters(cfg):
        return cfg.TRAIN.PRETR_STEP > 0

    def set_training_progress(self, step):
        self.iuv_only = step < self.cfg.TRAIN.PRETR_STEP

    def forward(self, images):
        dense, parts = self.estimator(self.backbone(images))
        stages = [self.mean.stage(len(images), self.body)]
        extras = {'parts': parts}
        if not (self.training and self.iuv_only):
            stages += self._estimates(dense, parts, extras)
        return RegressorOutput(stages, dense, extras)

    def auxiliary_losses(self, out, targets):
        """Losses of the dense maps, the crops' places, the joints' positions and the rotations of every stage."""
        return danet_losses(out, targets, self.cfg)

    @torch.no_grad()
    def extra_pictures(self, out):
        """{name: pictures [B,3,h,w] in [0, 1]}: the part crops' dense maps as 4 rows of 6, in the joints' order."""
        if out.extras['parts'] is None:
            return {}
        iuv = self.part_iuv_images(out)
        sheet = iuv.unflatten(1, (4, 6)).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        return {'part_iuv': colorize_iuv(sheet)}

    @torch.no_grad()
    def part_iuv_images(self, out):
        """IUV images [B,24,3,h,w] (part / 24, U, V) of the 24 crops."""
        u, v, index = out.extras['parts'].iuv.float().unbind(2)
        chosen = index.argmax(2, keepdim=True)
        # [B,24,1,h,w]: the body's part of each crop channel.
        part = self.crop_parts[None, :, :, None, None].expand(*index.shape).gather(2, chosen)
        return torch.cat([part / 24, u.gather(2, chosen), v.gather(2, chosen)], dim=2) * (part > 0)

    def _estimates(self, dense, parts, extras):
        """Stages after the mean. Adds what the auxiliary losses need to `extras`."""
        dropped = self._draw_dropped(len(dense.index))
        maps = clean_maps(dense.index, dense.u, dense.v)
        numbers = self.global_branch(self._drop(maps, dropped, self.all_parts))
        pose, shape, camera = self.mean.expand(len(maps))
        camera, shape = camera + numbers[:, :3], shape + numbers[:, 3:13]
        if not self.decomposed:
            extras['pose_6d'] = [pose + numbers[:, 13:]]
            return [self._stage(extras['pose_6d'][0], shape, camera)]
        u, v, index = parts.iuv.unbind(2)
        limbs = self.limb_branch(self._drop(clean_maps(index, u, v), dropped, self.crop_parts))
        extras['positions'] = limbs.positions
        extras['pose_6d'] = [pose + rotations for rotations in limbs.rotations]
        first, refined = extras['pose_6d']
        return [self._stage(first, shape, camera, supervised=False), self._stage(refined, shape, camera)]

    def _draw_dropped(self, batch):
        """[B,25] bool: parts hidden from both branches in this step, or None."""
        if not (self.training and self.part_dropout):
            return None
        dropped = torch.rand(batch, 25, device=self.all_parts.device) < self.part_dropout
        dropped[:, 0] = False
        return dropped

    def _drop(self, maps, dropped, channels):
        return maps if dropped is None else drop_parts(maps, dropped, channels)

    def _stage(self, pose, shape, camera, supervised=True):
        return Stage(pose6d_to_rotmat(pose), shape.float(), camera.float(), self.body, supervised)
