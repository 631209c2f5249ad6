"""What one training step supervises with: annotations, and a target body from ground truth or from the best fit."""
from dataclasses import dataclass
from functools import cached_property

import torch

from utils.errors import MissingFile
from utils.geometry import axis_angle_to_rotmat, estimate_translation, translation_to_camera


@dataclass
class Targets:
    """Targets of a batch, views flattened into rows.

    keypoints_2d [B,49,3] in [-1, 1] with confidence; smpl_keypoints_2d [B,24,3] likewise; joints_3d [B,24,4] metres
    with confidence; has_3d [B]; pose [B,72] axis-angle and betas [B,10] of the target body, meaningful where
    valid [B]; body: BodyModel; iuv_renderer: IUVRenderer or None; dense_points [B,196,5] and dense_segments [B,s,s]
    (`datasets/dense_points.py`), None where DATA.DENSE_POINTS is off.
    Derived on first use, once, without gradient: rotmat, vertices, joints, smpl_joints, camera, iuv.
    """
    keypoints_2d: torch.Tensor
    smpl_keypoints_2d: torch.Tensor
    joints_3d: torch.Tensor
    has_3d: torch.Tensor
    pose: torch.Tensor
    betas: torch.Tensor
    valid: torch.Tensor
    body: object
    iuv_renderer: object = None
    n_views: int = 1
    dense_points: torch.Tensor | None = None
    dense_segments: torch.Tensor | None = None

    @cached_property
    def rotmat(self):
        """[B,24,3,3]"""
        return axis_angle_to_rotmat(self.pose)

    @cached_property
    @torch.no_grad()
    def posed(self):
        """BodyOutput of the target body."""
        return self.body(self.betas, self.rotmat)

    @property
    def vertices(self):
        """[B,V,3] metres"""
        with torch.no_grad():
            return self.posed.vertices

    @property
    def joints(self):
        """[B,49,3] metres"""
        with torch.no_grad():
            return self.posed.joints

    @property
    def smpl_joints(self):
        """[B,24,3] metres"""
        return self.posed.smpl_joints

    @cached_property
    @torch.no_grad()
    def camera(self):
        """[B,3] weak perspective: the one that brings the target joints onto the 2D keypoints."""
        return translation_to_camera(estimate_translation(self.joints, self.keypoints_2d))

    @cached_property
    @torch.no_grad()
    def iuv(self):
        """[B,3,s,s] IUV image of the target body; background in rows that are not valid. Raises MissingFile without
        charts."""
        if self.iuv_renderer is None:
            raise MissingFile('UV_data/UV_Processed.mat: not in the asset folder, and this network is supervised with '
                              'IUV images; `./fetch_data.sh` fetches it')
        image = self.iuv_renderer(self.vertices, self.camera)
        return torch.where(self.valid.bool()[:, None, None, None], image, 0.0)
