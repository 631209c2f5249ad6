"""Losses on tensors for the trainer and the regressors: pure functions without knowledge of an architecture.

Every function averages over the rows that its mask selects, in all processes, and returns zero, not NaN, without any.
None of them synchronizes with the host.
"""
import torch
import torch.nn.functional as F

from utils.distributed import shared_count
from utils.keypoints import HIPS, NUM_OPENPOSE, PELVIS, has_root

_CRITERIA = {'mse': F.mse_loss, 'smooth_l1': F.smooth_l1_loss, 'l1': F.l1_loss}


def masked_mean(values, mask):
    """Mean of values [B, ...] over the rows where mask [B] is true; 0 without any."""
    mask = mask.to(values.dtype)
    per_row = values.flatten(1).mean(1)
    # where() keeps a NaN in a masked row out of the sum.
    return torch.where(mask > 0, per_row * mask, 0.0).sum() / shared_count(mask)


def keypoint_2d_loss(predicted, target, openpose_weight=0.0, annotated_weight=1.0, criterion='mse', mean='all'):
    """Error of 2D keypoints weighted by confidence.

    predicted: [B,49,2] in [-1, 1]; target: [B,49,3] with confidence. The weights scale the confidence of the
    first 25 (OpenPose) and the last 24 (annotated) joints. mean: 'all' divides the sum by the coordinates of all rows
    and joints (SPIN), 'visible' by those of joints whose scaled confidence is above 0 (mmhuman3d).
    """
    confidence = target[..., 2:] * _joint_weights(target, openpose_weight, annotated_weight)
    error = _CRITERIA[criterion](predicted, target[..., :2], reduction='none')
    weighted = torch.where(confidence > 0, confidence * error, 0.0)
    return weighted.mean() if mean == 'all' else _visible_mean(weighted, confidence > 0)


def _joint_weights(target, openpose_weight, annotated_weight):
    weights = target.new_full((target.shape[1], 1), annotated_weight)
    weights[:NUM_OPENPOSE] = openpose_weight
    return weights


def _visible_mean(weighted, visible):
    """Sum of [B,J,D] over the number of coordinates of visible joints [B,J,1]; 0 without visible joints."""
    return weighted.sum() / (weighted.shape[-1] * shared_count(visible))


def keypoint_3d_loss(joints, target, has_3d, criterion='mse', mean='all'):
    """Error of the 24 common joints relative to the root, weighted by confidence.

    The root is the middle of the hips, or the pelvis where the target lacks a hip. Rows without either are ignored.
    joints: [B,49,3] metres; target: [B,24,4] metres with confidence; has_3d: [B]. mean: 'all' divides the sum by the
    coordinates of all joints in the counted rows (SPIN), 'visible' by those of joints with confidence (mmhuman3d).
    """
    predicted, wanted, confidence = joints[:, NUM_OPENPOSE:], target[..., :3], target[..., 3:]
    predicted, wanted = (centred_at_root(points, confidence) for points in (predicted, wanted))
    error = confidence * _CRITERIA[criterion](predicted, wanted, reduction='none')
    counts = (has_3d > 0) & has_root(target[..., 3])
    if mean == 'all':
        return masked_mean(error, counts)
    visible = (confidence > 0) & counts[:, None, None]
    return _visible_mean(torch.where(visible, error, 0.0), visible)


def centred_at_root(points, confidence):
    """Common joints [B,24,3] minus their root: the middle of the hips, or the pelvis where the confidence [B,24,1] of
    a hip is 0."""
    by_hips = (confidence[:, HIPS] > 0).all(1, keepdim=True)
    return points - torch.where(by_hips, points[:, HIPS].mean(1, keepdim=True), points[:, PELVIS, None])


def pose_loss(rotmat, target, valid):
    """Mean squared error of rotation matrices [B,24,3,3] over valid rows [B]."""
    return masked_mean((rotmat - target).square(), valid)


def betas_loss(betas, target, valid):
    """Mean squared error of shape coefficients [B,10] over valid rows [B]."""
    return masked_mean((betas - target).square(), valid)


def vertex_loss(vertices, target, valid):
    """Mean absolute error of vertices [B,V,3] in metres over valid rows [B]."""
    return masked_mean((vertices - target).abs(), valid)


def camera_loss(camera):
    """Mean of exp(-10 s)^2, which keeps the camera's scale s positive (SPIN). camera: [B,3]."""
    return torch.exp(-20.0 * camera[:, 0]).mean()
