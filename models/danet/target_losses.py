"""Losses of DaNet's first release (Zhang et al., ACM MM 2019): absolute errors of the parameters, and errors of one
estimated parameter combined with the target body's others. All are averaged over valid rows; 0 without valid rows.
"""
from dataclasses import replace

import torch

from models.losses import centred_at_root, masked_mean
from utils.keypoints import NUM_OPENPOSE, has_root


def target_losses(stages, targets, options):
    """{name: weighted scalar} of the stages after the mean pose; the last is the final estimate. Terms with weight 0
    are left out. targets: Targets; options: cfg.MODEL.DANET."""
    if not stages:
        return {}
    last, valid, losses = stages[-1], targets.valid, {}
    posed = replace(last, betas=targets.betas, camera=targets.camera)  # only the pose is the network's
    if options.POSE_L1_W > 0:
        for i, stage in enumerate(stages):
            losses[f'pose_l1_{i}'] = options.POSE_L1_W * masked_mean((stage.rotmat - targets.rotmat).abs(), valid)
    if options.SHAPE_CAMERA_L1_W > 0:
        losses['shape_camera_l1'] = options.SHAPE_CAMERA_L1_W * shape_camera_loss(last, targets)
    if options.TARGET_KP_2D_W > 0:
        losses['target_keypoints_2d'] = options.TARGET_KP_2D_W * reprojection_loss(
            posed.keypoints_2d, targets.keypoints_2d, valid)
    if options.TARGET_KP_3D_W > 0:
        losses['target_keypoints_3d'] = options.TARGET_KP_3D_W * joints_loss(
            posed.joints, targets.joints_3d, targets.has_3d.bool() & valid.bool())
    if options.TARGET_MESH_W > 0:
        shaped = replace(last, rotmat=targets.rotmat)
        losses['target_mesh'] = options.TARGET_MESH_W * sum(
            masked_mean((stage.vertices - targets.vertices).square(), valid) for stage in (posed, shaped))
    return losses


def shape_camera_loss(stage, targets):
    """Mean absolute error of the 3 camera numbers and 10 betas together."""
    error = torch.cat([stage.camera - targets.camera, stage.betas - targets.betas], 1)
    return masked_mean(error.abs(), targets.valid)


def reprojection_loss(predicted, target, valid):
    """Absolute error of the 24 common joints, weighted by confidence, summed over joints and axes.

    predicted: [B,49,2], target: [B,49,3] with confidence, both in [-1, 1]; the error is in sides of the crop.
    """
    predicted, target = predicted[:, NUM_OPENPOSE:], target[:, NUM_OPENPOSE:]
    confidence = target[..., 2:]
    error = torch.where(confidence > 0, confidence * (predicted - target[..., :2]).abs() / 2, 0.0)
    return masked_mean(error, valid) * error[0].numel()


def joints_loss(joints, target, has_3d):
    """Absolute error of the 24 common joints, centred as in `keypoint_3d_loss`, times confidence, summed over joints
    and axes.

    joints: [B,49,3] metres; target: [B,24,4] metres with confidence; has_3d: [B].
    """
    confidence = target[..., 3:]
    predicted = centred_at_root(joints[:, NUM_OPENPOSE:], confidence)
    error = confidence * (predicted - centred_at_root(target[..., :3], confidence)).abs()
    return masked_mean(error, has_3d.bool() & has_root(target[..., 3])) * error[0].numel()
