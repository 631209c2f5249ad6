"""What every regressor returns: its estimates stage by stage, each with a mesh that is computed when asked for."""
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps

import torch

from utils.geometry import project


def _derived(function):
    """A property that is computed on first use, once; with its graph even where the first user runs without one."""
    @wraps(function)
    def with_graph(stage):
        with torch.enable_grad():  # builds none where the stage itself has none
            return function(stage)
    return cached_property(with_graph)


@dataclass
class Stage:
    """One estimate of body and camera.

    rotmat [B,24,3,3]; betas [B,10]; camera [B,3] weak perspective (scale, tx, ty) in the crop; body: BodyModel. What a
    network gives in half precision is held in float32, and so is what is derived.
    Derived on first use, once: skeleton, vertices [B,V,3], joints [B,49,3] and smpl_joints [B,24,3] in metres,
    keypoints_2d [B,49,2] in [-1, 1]. `supervised` is False for stages that a training step leaves alone.
    n_views: how many views of one person stand in successive rows (views fastest).
    full_camera: FullCamera of a network that estimates in the picture's camera and is told which, or in a crop's camera
    of another focal length: it projects, and fits of single crops are turned into it. None: the project's camera of a
    crop projects.
    """
    rotmat: torch.Tensor
    betas: torch.Tensor
    camera: torch.Tensor
    body: object = field(repr=False)
    supervised: bool = True
    n_views: int = 1
    full_camera: object = None

    def __post_init__(self):
        if self.rotmat.shape[1:] != (24, 3, 3):
            raise ValueError(f'rotmat has shape {list(self.rotmat.shape)}, wanted [B,24,3,3] (axis_angle_to_rotmat, '
                             'pose6d_to_rotmat)')
        for name in ('rotmat', 'betas', 'camera'):
            value = getattr(self, name)
            if value.dtype in (torch.bfloat16, torch.float16):
                setattr(self, name, value.float())

    @_derived
    def skeleton(self):
        return self.body.skeleton(self.betas, self.rotmat)

    @_derived
    def vertices(self):
        return self.body.mesh(self.skeleton)

    @_derived
    def joints(self):
        return self.body.joints49(self.skeleton)

    @property
    def smpl_joints(self):
        return self.skeleton.joints

    @_derived
    def keypoints_2d(self):
        return project(self.joints, self.camera, self.full_camera)

    def points(self, vertex_set):
        """Points [B,P,3] of a VertexSet of this body, in metres."""
        return vertex_set(self.skeleton)

    def detach(self):
        """The same estimate, cut off from the graph."""
        return replace(self, rotmat=self.rotmat.detach(), betas=self.betas.detach(), camera=self.camera.detach())

    def select(self, index):
        """The estimates of some rows of the batch (a slice, index or mask)."""
        full_camera = self.full_camera and self.full_camera.select(index)
        return replace(self, rotmat=self.rotmat[index], betas=self.betas[index], camera=self.camera[index], n_views=1,
                       full_camera=full_camera)

    def view(self, i):
        """Stage of view i: every field [B, ...]."""
        if not 0 <= i < self.n_views:
            raise IndexError(f'view {i} of {self.n_views}')
        return self.select(slice(i, None, self.n_views))


class MeanStage(Stage):
    """A stage whose B rows are one estimate, the mean pose: what is derived is computed for one row."""

    @cached_property
    def _one(self):
        return Stage(self.rotmat[:1], self.betas[:1], self.camera[:1], self.body)

    def _for_all(self, value):
        return value.expand(len(self.rotmat), *value.shape[1:])

    @property
    def vertices(self):
        return self._for_all(self._one.vertices)

    @property
    def joints(self):
        return self._for_all(self._one.joints)

    @property
    def smpl_joints(self):
        return self._for_all(self._one.smpl_joints)

    def points(self, vertex_set):
        return self._for_all(self._one.points(vertex_set))


@dataclass
class DenseOutput:
    """A dense prediction: scores of 25 parts (0: background), U and V of each, and scores of 15 coarse segments.

    index, u, v: [B,25,h,w]; part: [B,15,h,w] or None.
    """
    index: torch.Tensor
    u: torch.Tensor
    v: torch.Tensor
    part: torch.Tensor | None = None


@dataclass
class RegressorOutput:
    """stages: first to last, stages[0] the mean pose where the architecture has one. iuv: DenseOutput or None.

    extras: whatever else one architecture's own losses need; nothing outside that architecture reads it.
    """
    stages: list
    iuv: DenseOutput | None = None
    extras: dict = field(default_factory=dict)

    @property
    def final(self):
        return self.stages[-1]
