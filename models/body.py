"""The body model: SMPL's files (utils/body_file.py), linear blend skinning, and evaluation of few points.

A network's losses need 49 joints, a few hundred mesh points or the whole mesh. All three are `VertexSet`s: vertices of
the mesh, or sparse linear combinations of them, that are shaped and skinned from one `Skeleton`
(SMPL: Loper et al., SIGGRAPH Asia 2015; file format and vertex joints as in smplx).
"""
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from torch import nn

from utils.assets import Assets, find_assets
from utils.body_file import read_body_file
from utils.errors import BadFile, MissingFile
from utils.geometry import axis_angle_to_rotmat, in_full_precision
from utils.keypoints import BODY54_TO_J49
from utils.landmarks import landmark_vertices
from utils.safe_io import load_npy

_DEEPEST = 5  # largest number of folders from a body file up to its asset folder


@dataclass
class Skeleton:
    """A posed skeleton: everything needed to shape and skin a vertex, except the vertex."""
    betas: torch.Tensor          # [B, n]
    pose_feature: torch.Tensor   # [B, 207] rotations minus identity, without the root
    joints: torch.Tensor         # [B, 24, 3] posed, metres
    transforms: torch.Tensor     # [B, 24, 12] from rest to posed space, rows of [3, 4]


class VertexSet(nn.Module):
    """Vertices of a body, or linear combinations of them, computed without the rest of the mesh.

    body: arrays of a body file. matrix: [P, V], sparse or dense; each of the P points is a combination of vertices.
    Only vertices with a nonzero weight are computed. Without a matrix the set is the whole mesh.
    """

    def __init__(self, body, num_betas, matrix=None):
        super().__init__()
        index = slice(None)
        if matrix is not None:
            matrix = scipy.sparse.csr_matrix(matrix)
            index = np.unique(matrix.indices)
            self._buffer('matrix', matrix[:, index].toarray())
        self.has_matrix = matrix is not None
        self._buffer('template', body['v_template'][index])
        shapedirs = body['shapedirs'][index, :, :num_betas]
        self._buffer('shapedirs', shapedirs.reshape(-1, num_betas).T)
        self._buffer('posedirs', body['posedirs'][index].reshape(-1, 207).T)
        self._buffer('weights', body['weights'][index])
        self.vertex_index = np.arange(len(body['v_template']))[index]

    def _buffer(self, name, array):
        self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)), persistent=False)

    def forward(self, skeleton):
        """Points [B, P, 3] in metres of a Skeleton, in float32 also under autocast."""
        with in_full_precision(self.template.device.type):
            count = len(self.template)
            offsets = skeleton.betas @ self.shapedirs + skeleton.pose_feature @ self.posedirs
            rest = self.template + offsets.unflatten(-1, (count, 3))
            transforms = (self.weights @ skeleton.transforms).unflatten(-1, (3, 4))
            points = (transforms[..., :3] @ rest.unsqueeze(-1)).squeeze(-1) + transforms[..., 3]
            return self.matrix @ points if self.has_matrix else points


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
        self._buffer('identity', np.eye(3))
        self._register_levels()
        self.mesh = VertexSet(arrays, num_betas)
        self.landmarks = self.vertex_set(self._landmark_matrix())
        self.register_buffer('joint_map', torch.from_numpy(BODY54_TO_J49), persistent=False)

    def _buffer(self, name, array):
        self.register_buffer(name, torch.tensor(np.asarray(array, np.float32)), persistent=False)

    def _register_levels(self):
        """Group the joints by depth in the tree: forward kinematics then needs one product per level, not per joint."""
        depth = [0] * len(self.parents)
        for joint, parent in enumerate(self.parents[1:], 1):
            depth[joint] = depth[parent] + 1
        levels = [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
        self.num_levels = len(levels)
        for number, level in enumerate(levels):
            above = levels[number - 1] if number else []
            place = [above.index(self.parents[j]) for j in level] if number else [0]
            self.register_buffer(f'level{number}', torch.tensor(level), persistent=False)
            self.register_buffer(f'level{number}_parent', torch.tensor(place), persistent=False)
        order = torch.tensor([j for level in levels for j in level])
        self.register_buffer('level_order', torch.argsort(order), persistent=False)
        self.register_buffer('parent_index', torch.tensor([0, *self.parents[1:]]), persistent=False)

    def _landmark_matrix(self):
        """[30, V]: smplx's 21 vertex joints, then the 9 rows of J_regressor_extra.npy."""
        columns = landmark_vertices(self._assets, self.origin == 'free')
        vertices = scipy.sparse.csr_matrix((np.ones(21), (np.arange(21), columns)), shape=(21, self.num_vertices))
        return scipy.sparse.vstack([vertices, self.regressor_file('J_regressor_extra.npy', rows=9)])

    def regressor_file(self, name, rows):
        """A joint regressor [rows, V] of the asset folder, checked against this body. Raises BadFile."""
        path = self._assets.file(name)
        matrix = load_npy(path)
        if matrix.shape != (rows, self.num_vertices):
            raise BadFile(f'{path}: shape {list(matrix.shape)}, but {self.file} needs [{rows}, {self.num_vertices}]')
        return matrix

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
            return self._posed_skeleton(betas, rotmat)

    def _posed_skeleton(self, betas, rotmat):
        batch = len(rotmat)
        betas = betas.expand(batch, -1)
        rest = self.joint_template + (betas @ self.joint_shapedirs).unflatten(-1, (24, 3))
        offset = torch.cat([rest[:, :1], rest[:, 1:] - rest[:, self.parent_index[1:]]], dim=1)
        rotations, positions = [rotmat[:, self.level0]], [offset[:, self.level0]]
        for number in range(1, self.num_levels):
            level, above = getattr(self, f'level{number}'), getattr(self, f'level{number}_parent')
            turned = rotations[-1][:, above]
            positions.append(positions[-1][:, above] + (turned @ offset[:, level, :, None]).squeeze(-1))
            rotations.append(turned @ rotmat[:, level])
        rotation = torch.cat(rotations, 1)[:, self.level_order]
        joints = torch.cat(positions, 1)[:, self.level_order]
        translation = joints - (rotation @ rest.unsqueeze(-1)).squeeze(-1)
        transforms = torch.cat([rotation, translation.unsqueeze(-1)], -1).flatten(2)
        return Skeleton(betas, (rotmat[:, 1:] - self.identity).flatten(1), joints, transforms)

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
