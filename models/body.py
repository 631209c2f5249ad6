"""The body model: SMPL's files (utils/body_file.py), posed by utils/skinning.py, and evaluation of few points.

A network's losses need 49 joints, a few hundred mesh points or the whole mesh. All three are `VertexSet`s: vertices of
the mesh, or sparse linear combinations of them, that are shaped and skinned from one `Skeleton`
(file format and vertex joints as in smplx).
"""
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from utils.assets import Assets, find_assets
from utils.body_file import read_body_file
from utils.errors import MissingFile
from utils.geometry import axis_angle_to_rotmat, in_full_precision
from utils.keypoints import BODY54_TO_J49
from utils.landmarks import landmark_matrix, read_regressor
from utils.skinning import KinematicTree, VertexSet, posed_skeleton

_DEEPEST = 5  # largest number of folders from a body file up to its asset folder


class BodyOutput:
    """A posed body, in metres: `smpl_joints` [B,24,3] and, computed on first use, `vertices` [B,V,3] and `joints`
    [B,49,3]."""

    def __init__(self, body, skeleton):
        self._body, self.skeleton = body, skeleton

    @property
    def smpl_joints(self):
        return self.skeleton.joints

    @cached_property
    def vertices(self):
        return self._body.mesh(self.skeleton)

    @cached_property
    def joints(self):
        return self._body.joints49(self.skeleton)


class BodyModel(nn.Module):
    """SMPL, or the free body in the same format.

    path: an asset folder, its `smpl` folder, or a body file (`.pkl` or `.npz`). The asset folder that has the joint
    regressors is the file's own or one above. gender: 'neutral', 'male' or 'female'; ignored for a file. Buffers are
    not in the state dict, so no checkpoint contains a licensed body.
    Raises MissingFile, BadFile.
    """

    def __init__(self, path, gender='neutral', num_betas=10):
        super().__init__()
        assets, file = _locate(path, gender)
        arrays = read_body_file(file)
        self.file, self.gender, self.num_betas = file, gender, num_betas
        self.origin = arrays['body_origin']
        self.digest = arrays['body_digest']
        self.num_vertices = len(arrays['v_template'])
        self.parents = [int(p) for p in arrays['kintree_table'][0].astype(np.int64)]
        self.parents[0] = -1
        self._assets, self._arrays = assets, arrays

        self.register_buffer('faces', torch.from_numpy(arrays['f'].astype(np.int64)), persistent=False)
        joint_dirs = np.einsum('jv,vck->jck', arrays['J_regressor'], arrays['shapedirs'][..., :num_betas])
        self._buffer('joint_template', arrays['J_regressor'] @ arrays['v_template'])
        self._buffer('joint_shapedirs', joint_dirs.reshape(-1, num_betas).T)
        self.tree = KinematicTree(self.parents)
        self.mesh = VertexSet(arrays, num_betas)
        self.landmarks = self.vertex_set(landmark_matrix(assets, self.origin == 'free', self.num_vertices))
        self.register_buffer('joint_map', torch.from_numpy(BODY54_TO_J49), persistent=False)

    def _buffer(self, name, array):
        self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)), persistent=False)

    def regressor_file(self, name, rows):
        """A joint regressor [rows, V] of the asset folder, checked against this body. Raises BadFile."""
        return read_regressor(self._assets, name, rows, self.num_vertices)

    @property
    def joint_regressor(self):
        """[24, V] of the body file: SMPL's joints out of a mesh."""
        return self._arrays['J_regressor']

    def vertex_set(self, matrix):
        """A VertexSet of this body from a [P, V] matrix. Assign it to a module to move it between devices."""
        return VertexSet(self._arrays, self.num_betas, matrix)

    def skeleton(self, betas, rotmat):
        """Pose the skeleton, in float32 also under autocast. betas: [B, n]; rotmat: [B, 24, 3, 3] relative to the
        parents -> Skeleton."""
        with in_full_precision(rotmat.device.type):
            betas = betas.expand(len(rotmat), -1)
            rest = self.joint_template + (betas @ self.joint_shapedirs).unflatten(-1, (-1, 3))
            return posed_skeleton(self.tree, betas, rotmat, rest)

    def joints49(self, skeleton):
        """The 49 joints [B, 49, 3] of utils/keypoints.py, without computing the mesh."""
        return torch.cat([skeleton.joints, self.landmarks(skeleton)], dim=1)[:, self.joint_map]

    def forward(self, betas, rotmat=None, pose=None):
        """Pose the body. betas: [B, n]; rotmat: [B, 24, 3, 3], or pose: [B, 72] axis-angle -> BodyOutput."""
        if rotmat is None:
            rotmat = axis_angle_to_rotmat(pose)
        return BodyOutput(self, self.skeleton(betas, rotmat))


def _locate(path, gender):
    """(Assets, body file) for an asset folder, its smpl folder, or a body file."""
    path = Path(path)
    if path.is_dir():
        root = path.parent if path.name.lower() == 'smpl' else path
        assets = find_assets(root)
        return assets, assets.body_file(gender)
    if not path.exists():
        raise MissingFile(f'{path}: no such body model; get SMPL from https://smpl.is.tue.mpg.de, or use the '
                          'free one (data/free)')
    above = [Assets(folder, is_free=False) for folder in list(path.absolute().parents)[:_DEEPEST]]
    return next((assets for assets in above if assets.has('J_regressor_extra.npy')), above[0]), path
