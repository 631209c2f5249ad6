"""The 49 joints of a body and how they move with its parameters, without its mesh.

Each joint is a sum over bones: what bone j carries of point p is A_j r_pj + m_pj t_j, where A_j, t_j is the bone's
rest-to-posed transform, m_pj the share of the point's vertices that the bone moves and r_pj their first moment at rest.
Moments are linear in betas and pose feature, so a point costs a few small products however many vertices it has. A
turn of joint k about an axis moves point p by the axis times the lever from k to what the bones below k carry of p.
"""
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import BODY54_TO_J49


@dataclass
class Pose:
    """A body with its root unturned: parameters, and what follows from them."""
    betas: torch.Tensor     # [B,10]
    body_pose: torch.Tensor  # [B,69]
    root: torch.Tensor      # [B,3] the root joint, about which the global orientation turns
    points: torch.Tensor    # [B,P,3] distinct joints, from the root
    carried: torch.Tensor   # [B,Q,3] what each bone carries of each point, from the root
    rotation: torch.Tensor  # [B,24,3,3] of the bones
    joints: torch.Tensor    # [B,24,3] from the root


class SparseBody(nn.Module):
    """The 49 joints of a BodyModel. Views: orientations [B,n,3,3] turn the body about its root joint.

    `index` [49] says which of the P distinct points each of the 49 joints is.
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
        self._buffer('mass', mass[point, bone, None])
        self._buffer('moment', moment[point, bone])
        self._buffer('moment_by_beta', by_beta[:, point, bone].reshape(len(by_beta), -1))
        self._buffer('moment_by_pose', by_pose[:, point, bone].reshape(len(by_pose), -1))
        self._buffer('gather', point == np.arange(len(distinct))[:, None], np.float32)
        self._buffer('merge', index[:, None] == np.arange(len(distinct)), np.float32)
        self._register_levers(body.parents, distinct, mass)
        self._register_shape(body)

    def _buffer(self, name, array, dtype=None):
        array = np.asarray(array)
        dtype = dtype or (np.float32 if array.dtype.kind == 'f' else np.int64)
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, dtype)), persistent=False)

    def _register_levers(self, parents, distinct, mass):
        """The pairs (point, joint) in which turning the joint moves the point, and which bones' loads take part."""
        above = _ancestors(parents)
        moves = np.abs(mass) @ above > 0
        moves[:, 0] = False
        moves[distinct[:, None] == np.arange(24)] = False  # a joint stays where it is when it turns
        lever_point, lever_joint = np.nonzero(moves)
        point, bone = self.point.numpy(), self.bone.numpy()
        self._buffer('lever_point', lever_point)
        self._buffer('lever_joint', lever_joint)
        self._buffer('lever_part', (point == lever_point[:, None]) & (above[bone][:, lever_joint].T > 0), np.float32)
        self._buffer('lever_mass', (mass @ above)[lever_point, lever_joint][:, None])

    def _register_shape(self, body):
        """How offsets between joints depend on betas, and each joint's path from the root."""
        count = body.num_betas
        directions = body.joint_shapedirs.cpu().numpy().reshape(count, 24, 3)
        offsets = directions.copy()
        offsets[:, 1:] -= directions[:, np.array(body.parents[1:])]
        offsets[:, 0] = 0
        rest = self.moment_by_beta.numpy().reshape(count, -1, 3) - self.mass.numpy() * directions[:, self.bone.numpy()]
        self._buffer('offset_by_beta', offsets.transpose(1, 2, 0))
        self._buffer('rest_by_beta', rest.transpose(1, 2, 0))
        self._buffer('path', _ancestors(body.parents))
        self._buffer('parent', np.array([0, *body.parents[1:]]))

    def pose(self, body_pose, betas):
        """body_pose [B,69] axis-angle, betas [B,10] -> Pose"""
        batch = len(body_pose)
        rotmat = axis_angle_to_rotmat(body_pose.unflatten(1, (23, 3)))
        root = torch.eye(3, dtype=rotmat.dtype, device=rotmat.device).expand(batch, 1, 3, 3)
        skeleton = self.body.skeleton(betas, torch.cat([root, rotmat], 1))
        moment = self.moment + (betas @ self.moment_by_beta + skeleton.pose_feature @ self.moment_by_pose).unflatten(
            1, (-1, 3))
        transform = skeleton.transforms.unflatten(2, (3, 4))
        rotation, origin = transform[..., :3], skeleton.joints[:, 0]
        shift = transform[..., 3] - origin.unsqueeze(1)
        carried = (rotation[:, self.bone] @ moment.unsqueeze(-1)).squeeze(-1) + self.mass * shift[:, self.bone]
        return Pose(betas, body_pose, origin, self.gather @ carried, carried, rotation,
                    skeleton.joints - origin.unsqueeze(1))

    def joints(self, pose, orient):
        """The 49 joints [B,n,49,3] of a Pose in views of orientation [B,n,3,3]."""
        return self.view_points(pose, orient)[:, :, self.index]

    def view_points(self, pose, orient):
        """The distinct points [B,n,P,3] of a Pose in views of orientation [B,n,3,3]."""
        return pose.points.unsqueeze(1) @ orient.transpose(-1, -2) + pose.root[:, None, None]

    def pose_jacobian(self, pose):
        """How the distinct points, from the root, move with the body pose: [B,3,P,69].

        The pose blend shapes' share, millimetres, is left out.
        """
        levers = self.lever_part @ pose.carried - self.lever_mass * pose.joints[:, self.lever_joint]
        axes = pose.rotation[:, self.parent[1:]] @ left_jacobian(pose.body_pose.unflatten(1, (23, 3)))
        axes = axes[:, self.lever_joint - 1]  # [B,E,3,3]: column i is the axis of parameter i
        motion = torch.linalg.cross(axes, levers.unsqueeze(-1).expand_as(axes), dim=2)
        out = motion.new_zeros(len(motion), 3, len(self.gather), 23, 3)
        out[:, :, self.lever_point, self.lever_joint - 1] = motion.transpose(1, 2)
        return out.flatten(3)

    def betas_jacobian(self, pose):
        """How the distinct points, from the root, and the root itself move with betas: [B,3,P,10], [3,10]."""
        offsets = pose.rotation[:, self.parent] @ self.offset_by_beta
        joints = (self.path @ offsets.flatten(2)).unflatten(2, (3, -1))
        loads = pose.rotation[:, self.bone] @ self.rest_by_beta + self.mass.unsqueeze(-1) * joints[:, self.bone]
        points = (self.gather @ loads.flatten(2)).unflatten(2, (3, -1))
        root = self.body.joint_shapedirs.unflatten(1, (24, 3))[:, 0].T
        return points.transpose(1, 2), root


def left_jacobian(rotvec):
    """[...,3] -> [...,3,3]: exp(v + d) is exp(J d) exp(v) to first order (Sola et al., arXiv 1812.01537, eq. 145)."""
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
    """[24,24]: 1 where the column's joint is the row's or lies above it."""
    above = np.eye(len(parents), dtype=np.float32)
    for joint, parent in enumerate(parents[1:], 1):
        above[joint] += above[parent]
    return above

