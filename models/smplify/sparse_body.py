"""The 49 joints of a body and their derivatives by its parameters, without the mesh.

Each joint is a sum over bones. Bone j contributes A_j r_pj + m_pj t_j to point p, where A_j, t_j is the bone's
rest-to-posed transform, m_pj the share of the point's vertices that the bone moves, and r_pj their first moment at
rest. Moments are linear in betas and pose feature, so a point costs a few small products however many vertices it has.
A small rotation of joint k moves point p by the cross product of its axis with a lever: what the bones below k
contribute to p, relative to k.
"""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import BODY54_TO_J49


@dataclass
class Pose:
    """A body with identity root rotation: parameters and results. The coordinate axis comes before the points' axis."""
    betas: torch.Tensor     # [B,10]
    body_pose: torch.Tensor  # [B,69]
    root: torch.Tensor      # [B,3] the root joint, about which the global orientation turns
    points: torch.Tensor    # [B,3,P] distinct joints, from the root
    carried: torch.Tensor   # [B,3,Q] contribution of each bone to each point, from the root
    rotation: torch.Tensor  # [B,3,24,3] of the bones: row of the matrix, bone, column
    joints: torch.Tensor    # [B,3,24] from the root


class SparseBody(nn.Module):
    """The 49 joints of a BodyModel. Views: orientations [B,n,3,3] turn the body about its root joint.

    `index` [49] maps each of the 49 joints to one of the P distinct points.
    """

    def __init__(self, body):
        super().__init__()
        self.body = body
        distinct, index = np.unique(BODY54_TO_J49, return_inverse=True)
        mass, moment, by_beta, by_pose = _moments(body, distinct)
        point, bone = np.nonzero(mass)
        self._buffer('point', point)
        self._buffer('bone', bone)
        self._buffer('index', index)
        self._buffer('mass', mass[point, bone])
        self._buffer('moment', moment[point, bone])
        self._buffer('moment_by_beta', by_beta[:, point, bone].reshape(len(by_beta), -1))
        self._buffer('moment_by_pose', by_pose[:, point, bone].reshape(len(by_pose), -1))
        self._buffer('gather', point[:, None] == np.arange(len(distinct)), np.float32)
        self._buffer('merge', index[:, None] == np.arange(len(distinct)), np.float32)
        self._register_levers(body.parents, distinct, mass)
        self._register_shape(body, mass, by_beta)

    def _buffer(self, name, array, dtype=None):
        array = np.asarray(array)
        dtype = dtype or (np.float32 if array.dtype.kind == 'f' else np.int64)
        self.register_buffer(name, torch.tensor(np.ascontiguousarray(array, dtype)), persistent=False)

    def _register_levers(self, parents, distinct, mass):
        """The pairs (point, joint) in which a rotation of the joint moves the point, and the bones that contribute."""
        above = _ancestors(parents)
        moves = np.abs(mass) @ above > 0
        moves[:, 0] = False
        moves[distinct[:, None] == np.arange(24)] = False  # a joint's rotation does not move the joint itself
        lever_point, lever_joint = np.nonzero(moves)
        point, bone = self.point.numpy(), self.bone.numpy()
        part = (point == lever_point[:, None]) & (above[bone][:, lever_joint].T > 0)
        self._buffer('lever_joint', lever_joint)
        self._buffer('lever_part', part.T, np.float32)
        self._buffer('lever_mass', (mass @ above)[lever_point, lever_joint])
        # Index of the lever of each (point, joint). Pairs without one point to a zero behind the last lever.
        place = np.full((len(distinct), len(parents)), len(lever_joint))
        place[lever_point, lever_joint] = np.arange(len(lever_joint))
        self._buffer('lever_place', place[:, 1:].ravel())
        self._buffer('parent', np.array(parents[1:]))

    def _register_shape(self, body, mass, by_beta):
        """[72, P*10]: derivative of the points by betas, linear in the entries (bone, column) of the rotations' rows.

        A bone rotates the moments that it contributes. The parent rotates a joint's offset from it, which moves all
        that the joint and those below it contribute.
        """
        above = _ancestors(body.parents)
        directions = body.joint_shapedirs.cpu().numpy().reshape(-1, 24, 3)
        turned = by_beta - mass[None, ..., None] * directions[:, None]  # [10,P,24,3]
        for joint, parent in enumerate(body.parents[1:], 1):
            offset = directions[:, joint] - directions[:, parent]
            turned[:, :, parent] += (mass @ above)[:, joint, None] * offset[:, None]
        self._buffer('points_by_beta', turned.transpose(2, 3, 1, 0).reshape(72, -1))

    def pose(self, body_pose, betas):
        """body_pose [B,69] axis-angle, betas [B,10] -> Pose"""
        batch = len(body_pose)
        rotmat = axis_angle_to_rotmat(body_pose.unflatten(1, (23, 3)))
        root = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device).expand(batch, 1, 3, 3)
        skeleton = self.body.skeleton(betas, torch.cat([root, rotmat], 1))
        moment = self.moment + (betas @ self.moment_by_beta + skeleton.pose_feature @ self.moment_by_pose).unflatten(
            1, (-1, 3))
        transform = skeleton.transforms.unflatten(2, (3, 4))
        rotation = transform[..., :3].transpose(1, 2).contiguous()
        origin = skeleton.joints[:, 0]
        shift = (transform[..., 3] - origin.unsqueeze(1)).transpose(1, 2)
        carried = (rotation.index_select(2, self.bone) * moment.unsqueeze(1)).sum(-1)
        carried = carried + self.mass * shift.index_select(2, self.bone)
        return Pose(betas, body_pose, origin, carried @ self.gather, carried, rotation,
                    (skeleton.joints - origin.unsqueeze(1)).transpose(1, 2))

    def joints(self, pose, orient):
        """The 49 joints [B,n,49,3] of a Pose in views of orientation [B,n,3,3]."""
        return self.view_points(pose, orient)[:, :, self.index]

    def view_points(self, pose, orient):
        """The distinct points [B,n,P,3] of a Pose in views of orientation [B,n,3,3]."""
        return (orient @ pose.points.unsqueeze(1)).transpose(2, 3) + pose.root[:, None, None]

    def pose_jacobian(self, pose):
        """Derivative of the distinct points, from the root, by the body pose: [B,3,P,69].

        The part of the pose blend shapes, which is millimetres, is left out.
        """
        levers = pose.carried @ self.lever_part
        levers = (levers - self.lever_mass * pose.joints.index_select(2, self.lever_joint)).unsqueeze(-1)
        # Column i of a joint's axes is the rotation axis of its parameter i.
        axes = pose.rotation[:, :, self.parent].transpose(1, 2) @ left_jacobian(pose.body_pose.unflatten(1, (23, 3)))
        axes = axes.transpose(1, 2).index_select(2, self.lever_joint - 1)  # [B,3,E,3]
        (ax, ay, az), (x, y, z) = axes.unbind(1), levers.unbind(1)
        zero = axes.new_zeros(len(axes), 1, 3)
        motion = torch.stack([torch.cat([part, zero], 1) for part in
                              (ay * z - az * y, az * x - ax * z, ax * y - ay * x)], 1)
        return motion.index_select(2, self.lever_place).view(len(axes), 3, -1, 69)

    def betas_jacobian(self, pose):
        """Derivatives by betas of the distinct points, from the root, and of the root itself: [B,3,P,10], [3,10]."""
        points = (pose.rotation.flatten(2) @ self.points_by_beta).unflatten(2, (-1, pose.betas.shape[1]))
        root = self.body.joint_shapedirs.unflatten(1, (24, 3))[:, 0].T
        return points, root


def left_jacobian(rotvec):
    """[...,3] -> J [...,3,3] with exp(v + d) = exp(J d) exp(v) to first order (Sola et al., arXiv 1812.01537, eq. 145).
    """
    squared = rotvec.square().sum(-1)[..., None, None]
    angle = squared.sqrt()
    sinc = torch.sinc(angle / torch.pi)
    half = 0.5 * torch.sinc(angle / (2 * torch.pi)).square()
    outer_weight = torch.where(squared < 0.01, 1 / 6 - squared / 120, (1 - sinc) / squared.clamp_min(0.01))
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device).expand(*rotvec.shape, 3)
    cross_columns = torch.linalg.cross(rotvec.unsqueeze(-2).expand_as(identity), identity, dim=-1)
    outer = rotvec.unsqueeze(-1) * rotvec.unsqueeze(-2)
    return sinc * identity + half * cross_columns.transpose(-1, -2) + outer_weight * outer


def _moments(body, distinct):
    """Share [P,24], first moment at rest [P,24,3] and its derivatives [10,P,24,3], [207,P,24,3] of points by bone."""
    own, landmarks = distinct[distinct < 24], distinct[distinct >= 24] - 24
    points = body.landmarks
    numpy = {name: getattr(points, name).cpu().double().numpy()
             for name in ('matrix', 'weights', 'template', 'shapedirs', 'posedirs')}
    share = numpy['matrix'][landmarks][:, :, None] * numpy['weights'][None]  # [L,V,24]
    count = len(numpy['template'])
    mass = np.concatenate([np.eye(24)[own], share.sum(1)])
    moment = np.concatenate([np.eye(24)[own][..., None] * body.joint_template.cpu().numpy(),
                             np.einsum('lvj,vc->ljc', share, numpy['template'], optimize=True)])
    joint_dirs = body.joint_shapedirs.cpu().numpy().reshape(-1, 1, 24, 3)
    by_beta = np.concatenate([np.eye(24)[own][None, ..., None] * joint_dirs,
                              np.einsum('lvj,nvc->nljc', share, numpy['shapedirs'].reshape(-1, count, 3),
                                        optimize=True)], axis=1)
    by_pose = np.einsum('lvj,nvc->nljc', share, numpy['posedirs'].reshape(-1, count, 3), optimize=True)
    by_pose = np.concatenate([np.zeros((len(by_pose), len(own), 24, 3)), by_pose], axis=1)
    return mass, moment, by_beta, by_pose


def _ancestors(parents):
    """[24,24]: 1 where the column's joint is the row's joint or an ancestor of it."""
    above = np.eye(len(parents), dtype=np.float32)
    for joint, parent in enumerate(parents[1:], 1):
        above[joint] += above[parent]
    return above

