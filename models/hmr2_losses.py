"""The losses of HMR2.0's published training: sums over batch, joints and coordinates instead of means."""
import torch

from utils.keypoints import NUM_OPENPOSE, PELVIS

NUM_SUPERVISED = 44  # the first 44 of the 49 joints; the last five are the face of the common joints


def summed_losses(stage, targets, weights, orient_weight):
    """{name: weighted scalar} of the estimate `stage`. targets: Targets; weights: cfg.LOSS.

    Errors of 2D keypoints are in sides of the crop, so coordinates are in [-0.5, 0.5].
    """
    factors = (weights.OPENPOSE_TRAIN_WEIGHT, weights.GT_TRAIN_WEIGHT)
    orient, pose = pose_sums(stage.rotmat, targets.rotmat, targets.valid)
    return {'keypoints_2d': weights.KP_2D_W * keypoint_2d_sum(stage.keypoints_2d, targets.keypoints_2d, *factors),
            'keypoints_3d': weights.KP_3D_W * keypoint_3d_sum(stage.joints, targets.joints_3d, targets.has_3d),
            'orient': orient_weight * orient, 'pose': weights.POSE_W * pose,
            'betas': weights.SHAPE_W * betas_sum(stage.betas, targets.betas, targets.valid)}


def keypoint_2d_sum(predicted, target, openpose_weight=1.0, annotated_weight=1.0):
    """Absolute errors times confidence, summed. predicted [B,49,2] and target [B,49,3] in [-1, 1]."""
    predicted, target = predicted[:, :NUM_SUPERVISED], target[:, :NUM_SUPERVISED]
    confidence = torch.cat([openpose_weight * target[:, :NUM_OPENPOSE, 2:],
                            annotated_weight * target[:, NUM_OPENPOSE:, 2:]], 1)
    error = 0.5 * (predicted - target[..., :2]).abs()
    return torch.where(confidence > 0, confidence * error, 0.0).sum()


def keypoint_3d_sum(joints, target, has_3d):
    """Absolute error relative to the pelvis times confidence, summed over the rows [B] with 3D joints and a pelvis.

    joints [B,49,3] metres; target [B,24,4] metres with confidence.
    """
    predicted = joints[:, NUM_OPENPOSE:NUM_SUPERVISED] - joints[:, NUM_OPENPOSE + PELVIS, None]
    wanted = target[:, :NUM_SUPERVISED - NUM_OPENPOSE, :3] - target[:, PELVIS, None, :3]
    confidence = target[:, :NUM_SUPERVISED - NUM_OPENPOSE, 3:]
    counts = (has_3d > 0) & (target[:, PELVIS, 3] > 0)
    weighted = confidence * (predicted - wanted).abs()
    return torch.where((confidence > 0) & counts[:, None, None], weighted, 0.0).sum()


def pose_sums(rotmat, target, valid):
    """Squared errors of rotation matrices [B,24,3,3], summed over valid rows: (of the root, of the other joints)."""
    squared = torch.where(valid.bool()[:, None, None, None], (rotmat - target).square(), 0.0)
    return squared[:, 0].sum(), squared[:, 1:].sum()


def betas_sum(betas, target, valid):
    """Squared errors of betas [B,10], summed. The target of rows that are not valid is the mean shape."""
    return (betas - torch.where(valid.bool()[:, None], target, 0.0)).square().sum()
