"""Linear blend skinning: a skeleton that is posed, and vertices that follow it.

Every body of the project is posed here: SMPL's 24 joints and SMPL-X's 55, in float32 or float64, as batches or one by
one (SMPL: Loper et al., SIGGRAPH Asia 2015).
"""
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import nn

from utils.geometry import in_full_precision


@dataclass
class Skeleton:
    """A posed skeleton of J joints: everything needed to shape and skin a vertex, except the vertex."""
    betas: torch.Tensor          # [B, n]
    pose_feature: torch.Tensor   # [B, 9 (J - 1)] of which pose blend shapes are linear functions
    joints: torch.Tensor         # [B, J, 3] posed, metres
    transforms: torch.Tensor     # [B, J, 12] from rest to posed space, rows of [3, 4]


class KinematicTree(nn.Module):
    """Forward kinematics along a tree of joints.

    parents: the parent of each joint. The first joint is the root, whose entry is not read; parents come before their
    children. Joints are grouped by depth: a pose then needs one product per level, not per joint. For float64, call
    `double()`.
    """

    def __init__(self, parents):
        super().__init__()
        count, depth = len(parents), [0] * len(parents)
        for joint in range(1, count):
            depth[joint] = depth[parents[joint]] + 1
        levels = [[joint for joint, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]
        self._level_sizes = [len(level) for level in levels]
        order = [joint for level in levels for joint in level]
        above = [upper.index(parents[joint]) for upper, level in zip(levels, levels[1:]) for joint in level]
        for name, numbers in {'parent': [int(parent) for parent in parents[1:]], 'order': order, 'above': above,
                              'place': sorted(range(count), key=order.__getitem__)}.items():
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.register_buffer('last_row', torch.tensor([0.0, 0, 0, 1]), persistent=False)

    def forward(self, rotmat, rest):
        """Rotations [B,J,3,3] relative to the parents -> global rotations [B,J,3,3] and joints [B,J,3].

        rest: joints of the rest pose, [B,J,3] or [J,3], metres. The root keeps its rest position.
        """
        rest = rest.expand(len(rotmat), -1, -1)
        offset = torch.cat([rest[:, :1], rest[:, 1:] - rest.index_select(1, self.parent)], 1)
        local = torch.cat([rotmat, offset.unsqueeze(-1)], -1)
        local = torch.cat([local, self.last_row.expand(*local.shape[:2], 1, 4)], -2).index_select(1, self.order)
        first, *levels = local.split_with_sizes(self._level_sizes, 1)
        placed = [first]
        for level, above in zip(levels, self.above.split_with_sizes(self._level_sizes[1:])):
            placed.append(placed[-1].index_select(1, above) @ level)
        placed = torch.cat(placed, 1).index_select(1, self.place)
        return placed[..., :3, :3], placed[..., :3, 3]

    def rest_to_posed(self, rotmat, rest):
        """Inputs as `forward` -> joints [B,J,3] and transforms [B,J,12] of a Skeleton."""
        rotation, joints = self(rotmat, rest)
        translation = joints - (rotation @ rest.unsqueeze(-1)).squeeze(-1)
        return joints, torch.cat([rotation, translation.unsqueeze(-1)], -1).flatten(2)


def posed_skeleton(tree, betas, rotmat, rest):
    """The Skeleton of betas [B,n], rotations [B,J,3,3] relative to the parents and joints `rest` as KinematicTree's."""
    identity = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device)
    return Skeleton(betas, (rotmat[:, 1:] - identity).flatten(1), *tree.rest_to_posed(rotmat, rest))


def skin(rest, weights, transforms):
    """Vertices [B,V,3] that follow joints: rest [B,V,3]; weights [V,J]; transforms [B,J,12] of a Skeleton."""
    # Vertices come last: a few products of long rows instead of a small product for each vertex.
    columns = transforms.unflatten(-1, (3, 4)).transpose(2, 3).flatten(2).transpose(1, 2)
    first, second, third, translation = (columns @ weights.T).unflatten(1, (4, 3)).unbind(1)
    x, y, z = rest.unsqueeze(1).unbind(-1)
    placed = torch.addcmul(torch.addcmul(torch.addcmul(translation, first, x), second, y), third, z)
    return placed.transpose(1, 2)


class VertexSet(nn.Module):
    """Vertices of a body, or linear combinations of them, computed without the rest of the mesh.

    body: arrays of a body file. matrix: [P, V], sparse or dense; each of the P points is a combination of vertices.
    Only vertices with a nonzero weight are computed. Without a matrix the set is the whole mesh.
    """

    def __init__(self, body, num_betas, matrix=None, dtype=torch.float32):
        super().__init__()
        self._dtype = dtype
        index = slice(None)
        if matrix is not None:
            matrix = scipy.sparse.csr_matrix(matrix)
            index = np.unique(matrix.indices)
            self._buffer('matrix', matrix[:, index].toarray())
        self.has_matrix = matrix is not None
        self._buffer('template', body['v_template'][index])
        self._buffer('shapedirs', body['shapedirs'][index, :, :num_betas].reshape(-1, num_betas).T)
        posedirs = body['posedirs'][index]
        self._buffer('posedirs', posedirs.reshape(-1, posedirs.shape[-1]).T)
        self._buffer('weights', body['weights'][index])
        self.vertex_index = np.arange(len(body['v_template']))[index]

    def _buffer(self, name, array):
        self.register_buffer(name, torch.tensor(np.asarray(array), dtype=self._dtype), persistent=False)

    def forward(self, skeleton):
        """Points [B, P, 3] in metres of a Skeleton, in the set's own precision also under autocast."""
        with in_full_precision(self.template.device.type):
            offsets = skeleton.betas @ self.shapedirs + skeleton.pose_feature @ self.posedirs
            rest = self.template + offsets.unflatten(-1, (-1, 3))
            points = skin(rest, self.weights, skeleton.transforms)
            return self.matrix @ points if self.has_matrix else points
