"""Targets of one training step: annotations, and a target body from ground truth or from the best fit."""
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch

from utils.errors import MissingFile
from utils.geometry import axis_angle_to_rotmat, solve_translation, translation_to_camera


@dataclass
class Targets:
    """Targets of a batch, with views flattened into rows.

    keypoints_2d [B,49,3] in [-1, 1] with confidence; smpl_keypoints_2d [B,24,3] likewise; joints_3d [B,24,4] metres
    with confidence; has_3d [B]; pose [B,72] axis-angle and betas [B,10] of the target body, defined where valid [B];
    body: BodyModel; iuv_renderer: IUVRenderer or None; labels: the whole batch, from which `auxiliary_losses` take
    labels of a single architecture under the dataset's names; full_camera: that of the estimates
    (`Stage.full_camera`).
    Derived once, on first use, without gradient: rotmat, vertices, joints, smpl_joints, camera, dense_valid, iuv.
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
    labels: dict = field(default_factory=dict, repr=False)
    full_camera: object = None

    @classmethod
    def of_batch(cls, batch, body, iuv_renderer=None, n_views=1, fits=None, full_camera=None):
        """Targets of a batch (docs/architecture.md), views flattened. Ground truth comes before fits.

        fits: (pose [B,72], betas [B,10], valid [B]) of the target body for rows without ground truth.
        """
        pose, betas, valid = batch['pose'], batch['betas'], batch['has_smpl'].bool()
        if fits is not None:
            truth = valid[:, None]
            pose, betas = torch.where(truth, pose, fits[0]), torch.where(truth, betas, fits[1])
            valid = valid | fits[2]
        return cls(keypoints_2d=batch['keypoints'], smpl_keypoints_2d=batch['smpl_keypoints_2d'],
                   joints_3d=batch['joints_3d'], has_3d=batch['has_joints_3d'], pose=pose, betas=betas, valid=valid,
                   body=body, iuv_renderer=iuv_renderer, n_views=n_views, labels=batch, full_camera=full_camera)

    def view(self, i):
        """Targets of view i: every field, and every label with one entry per row, [B, ...]."""
        rows, count = slice(i, None, self.n_views), len(self.valid)

        def of_view(value):
            return value[rows] if isinstance(value, (torch.Tensor, list)) and len(value) == count else value
        values = {entry.name: of_view(getattr(self, entry.name)) for entry in fields(self)}
        return replace(self, **values | {
            'n_views': 1, 'labels': {key: of_view(value) for key, value in self.labels.items()},
            'full_camera': self.full_camera and self.full_camera.select(rows)})

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
    def _solved(self):
        return solve_translation(self.joints, self.keypoints_2d, full_camera=self.full_camera)

    @cached_property
    @torch.no_grad()
    def camera(self):
        """[B,3] weak perspective: the camera that projects the target joints onto the 2D keypoints. Defined only
        where `dense_valid`."""
        if self.full_camera is not None:
            return self.full_camera.camera(self._solved[0])
        return translation_to_camera(self._solved[0])

    @property
    def dense_valid(self):
        """[B] bool: the target body is valid and annotated 2D keypoints determine its camera."""
        return self.valid.bool() & self._solved[1]

    @cached_property
    @torch.no_grad()
    def iuv(self):
        """[B,3,s,s] IUV image of the target body; background in rows that are not `dense_valid`. Raises MissingFile
        without DensePose charts."""
        if self.iuv_renderer is None:
            raise MissingFile('UV_data/UV_Processed.mat: not in the asset folder, and this network is supervised with '
                              'IUV images; `./fetch_data.sh` fetches it')
        image = self.iuv_renderer(self.vertices, self.camera, self.full_camera)
        return torch.where(self.dense_valid[:, None, None, None], image, 0.0)
