"""The objective of a fit (SMPLify: Bogo et al., ECCV 2016; in the loop: SPIN, arXiv 1909.12828).

Camera stage: four torso joints, and a depth near its estimate. Body stage: robust reprojection error of all joints,
and priors on pose, joint bends and shape. Image quantities are in pixels. Views are the second axis.
"""
from dataclasses import dataclass, fields

import torch

from models.smplify.priors import angle_prior
from utils.device_constants import on_device
from utils.keypoints import JOINT_NAMES

# Ignored: OpenPose's neck and hips and the annotated hips are at other places of the body than SMPL's.
IGNORED = tuple(JOINT_NAMES.index(name) for name in
                ('openpose_neck', 'openpose_right_hip', 'openpose_left_hip', 'right_hip', 'left_hip'))
_TORSO = ('right_hip', 'left_hip', 'right_shoulder', 'left_shoulder')
TORSO_OPENPOSE = tuple(JOINT_NAMES.index(f'openpose_{name}') for name in _TORSO)
TORSO_ANNOTATED = tuple(JOINT_NAMES.index(name) for name in _TORSO)


@dataclass(frozen=True)
class Weights:
    """Factors of the objective's terms (those of priors and depth already squared), and the robust scale.

    normalized: mmhuman3d's reprojection error instead of SPIN's. The squared distance in crop units ([-1, 1] over the
    picture) is the argument of the robust function, which squares it again. Its weight is the confidence, not the
    confidence squared.
    """
    sigma: float = 100.0
    pose_prior: float = 4.78 ** 2
    angle_prior: float = 15.2 ** 2
    shape_prior: float = 5.0 ** 2
    depth: float = 100.0 ** 2
    normalized: bool = False


@dataclass(frozen=True)
class Observations:
    """Observations of B bodies in n views each.

    points [B,n,49,2] pixels; confidence [B,n,49], zero for ignored joints; center [B,n,2], the principal point; torso
    [B,n,4,2], points of the camera stage, torso_index [B,n,4], their indices among the 49, torso_weight [B,n,4];
    depth [B,n], the estimate near which the camera stage keeps the depth; camera_rotation [B,n,3,3], world to camera,
    for calibrated cameras, else None.
    """
    points: torch.Tensor
    confidence: torch.Tensor
    center: torch.Tensor
    torso: torch.Tensor
    torso_index: torch.Tensor
    torso_weight: torch.Tensor
    depth: torch.Tensor
    camera_rotation: torch.Tensor | None
    focal_length: float

    def select(self, rows):
        """The observations of some bodies."""
        values = (getattr(self, field.name) for field in fields(self))
        return Observations(*(value[rows] if isinstance(value, torch.Tensor) else value for value in values))


def observe(keypoints_2d, camera_center, translation, camera_rotation, focal_length, published_torso,
            annotated_torso=False):
    """Observations from keypoints [B,n,49,3] without NaN, camera centres [B,n,2] and estimated translations [B,n,3].

    Torso points: with `published_torso` OpenPose's if all four are seen, else the annotated ones, seen or not; with
    `annotated_torso` the annotated ones that are seen; with neither, each joint from the set in which it is seen,
    OpenPose's first.
    """
    points, confidence = keypoints_2d[..., :2], keypoints_2d[..., 2]
    openpose, annotated = on_device(TORSO_OPENPOSE, points.device), on_device(TORSO_ANNOTATED, points.device)
    take_openpose = confidence[..., openpose] > 0
    if annotated_torso:
        take_openpose = torch.zeros_like(take_openpose)
    if published_torso and not annotated_torso:
        take_openpose = take_openpose.all(-1, keepdim=True).expand_as(take_openpose)
        weight = torch.ones_like(take_openpose)
    else:
        weight = take_openpose | (confidence[..., annotated] > 0)
    index = torch.where(take_openpose, openpose, annotated)
    torso = points.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, 2))
    fitted = confidence.index_fill(-1, on_device(IGNORED, points.device), 0)
    return Observations(points, fitted, camera_center, torso, index, weight.to(points.dtype), translation[..., 2],
                        camera_rotation, focal_length)


def project(points, translation, seen):
    """Project points [B,n,P,3], rotated into the cameras, with translation [B,n,3] -> pixels [B,n,P,2]."""
    points = points + translation.unsqueeze(2)
    return seen.focal_length * points[..., :2] / points[..., 2:] + seen.center.unsqueeze(2)


def robust(residual, sigma):
    """Geman-McClure: the squared residual, saturating at sigma^2."""
    squared = residual.square()
    return sigma ** 2 * squared / (sigma ** 2 + squared)


def reprojection(joints, translation, seen, weights):
    """Robust reprojection error of each joint, weighted by confidence. [B,n,49,3], [B,n,3] -> [B,n,49]"""
    residual = project(joints, translation, seen) - seen.points
    if weights.normalized:
        # 1 is the centre of the last pixel, as published.
        squared = (residual / (seen.center.unsqueeze(2) - 0.5)).square()
        error = seen.confidence * robust(squared, weights.sigma).sum(-1)
    else:
        error = seen.confidence.square() * robust(residual, weights.sigma).sum(-1)
    return torch.where(seen.confidence > 0, error, 0.0)


def torso_residual(joints, translation, seen):
    """Pixels [B,n,4,2] from the observed to the projected torso joints."""
    index = seen.torso_index.unsqueeze(-1).expand(-1, -1, -1, 3)
    return project(joints.gather(2, index), translation, seen) - seen.torso


def camera_loss(joints, translation, seen, weights):
    """The camera stage's loss [B]; joints [B,n,49,3], translation [B,n,3]."""
    torso = seen.torso_weight.unsqueeze(-1) * torso_residual(joints, translation, seen).square()
    depth = weights.depth * (translation[..., 2] - seen.depth).square()
    return torso.sum((1, 2, 3)) + depth.sum(1)


def prior_loss(body_pose, betas, pose_prior, weights):
    """Priors on body pose [B,69] and betas [B,10] -> [B]"""
    return (weights.pose_prior * pose_prior(body_pose) + weights.angle_prior * angle_prior(body_pose).sum(-1)
            + weights.shape_prior * betas.square().sum(-1))


def body_loss(joints, translation, body_pose, betas, seen, pose_prior, weights):
    """The body stage's loss [B]: reprojection in all views, plus priors."""
    error = reprojection(joints, translation, seen, weights).sum((1, 2))
    return error + prior_loss(body_pose, betas, pose_prior, weights)
