"""The output of every regressor: estimates by stage, with meshes that are computed on first use."""
from dataclasses import dataclass, field, replace
from functools import cached_property, wraps

import torch

from utils.geometry import project


def _derived(function):
    """A property that is computed once, on first use, and keeps its graph even if that use is under no_grad."""
    @wraps(function)
    def with_graph(stage):
        with torch.enable_grad():  # no graph is built if the stage has none
            return function(stage)
    return cached_property(with_graph)


@dataclass
class Stage:
    """One estimate of body and camera.

    rotmat [B,24,3,3]; betas [B,10]; camera [B,3] weak perspective (scale, tx, ty) in the crop; body: BodyModel.
    Values in half precision are converted to float32, and derived values are float32.
    Derived once, on first use: skeleton, vertices [B,V,3], joints [B,49,3] and smpl_joints [B,24,3] in metres,
    keypoints_2d [B,49,2] in [-1, 1]. supervised: whether the common losses apply to this stage.
    n_views: number of views of one person in successive rows (views fastest).
    full_camera: FullCamera of a network that estimates in the picture's camera, or in a crop's camera of another focal
    length. It projects, and fits of single crops are turned into it. None: the project's crop camera projects.
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
            raise ValueError(f'rotmat has shape {list(self.rotmat.shape)}, expected [B,24,3,3] (axis_angle_to_rotmat, '
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
        """The same estimate without its graph."""
        return replace(self, rotmat=self.rotmat.detach(), betas=self.betas.detach(), camera=self.camera.detach())

    def select(self, index):
        """The estimates of some rows of the batch (a slice, index or mask)."""
        full_camera = self.full_camera and self.full_camera.select(index)
        return replace(self, rotmat=self.rotmat[index], betas=self.betas[index], camera=self.camera[index], n_views=1,
                       full_camera=full_camera)

    def view(self, i):
        """The Stage of view i, with fields [B, ...]."""
        if not 0 <= i < self.n_views:
            raise IndexError(f'view {i} of {self.n_views}')
        return self.select(slice(i, None, self.n_views))


class MeanStage(Stage):
    """A stage whose B rows are equal, the mean pose. Derived values are computed for one row."""

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
    """A dense prediction: scores of 25 parts (0: background), U and V of each part, scores of 15 coarse segments.

    index, u, v: [B,25,h,w]; part: [B,15,h,w] or None.
    """
    index: torch.Tensor
    u: torch.Tensor
    v: torch.Tensor
    part: torch.Tensor | None = None


@dataclass
class RegressorOutput:
    """stages: first to last; stages[0] is the mean pose where the architecture has one. iuv: DenseOutput or None.

    extras: other values for the architecture's own losses. Nothing outside of the architecture reads them.
    """
    stages: list
    iuv: DenseOutput | None = None
    extras: dict = field(default_factory=dict)

    @property
    def final(self):
        return self.stages[-1]
