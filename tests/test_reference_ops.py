"""Rotations, projection, alignment and losses, compared with values that the published code computed."""
import numpy as np
import pytest
import torch

from models import losses as L
from tests.reference.compare import load, relative_error
from utils.geometry import (
    axis_angle_to_rotmat,
    camera_to_translation,
    estimate_translation,
    perspective_projection,
    project,
    rot6d_to_rotmat,
    rotmat_to_axis_angle,
    rotmat_to_rot6d,
    similarity_align,
    translation_to_camera,
)


@pytest.fixture(scope='module')
def ops():
    return {name: torch.from_numpy(array) if array.dtype.kind in 'fib' and array.ndim else array
            for name, array in load('pymaf_ops').items()}


def test_6d_rotations(ops):
    rotmat = rot6d_to_rotmat(ops['rot6d_in'].view(-1, 6))
    assert relative_error(rotmat, ops['rot6d_out'].numpy()) < 1e-5
    assert relative_error(rot6d_to_rotmat(rotmat_to_rot6d(rotmat)), rotmat.numpy()) < 1e-5


def test_axis_angle(ops):
    assert relative_error(axis_angle_to_rotmat(ops['aa_in']), ops['aa_rotmat'].numpy()) < 1e-5
    assert relative_error(rotmat_to_axis_angle(ops['aa_rotmat']), ops['aa_back'].numpy()) < 1e-4


def test_projection(ops):
    assert relative_error(project(ops['proj_pts'], ops['proj_cam']), ops['proj_out'].numpy()) < 1e-5
    pixels = perspective_projection(ops['proj_pts'], camera_to_translation(ops['proj_cam']), 5000., torch.zeros(4, 2))
    assert relative_error(pixels / 112, ops['proj_out'].numpy()) < 1e-5
    camera = translation_to_camera(camera_to_translation(ops['proj_cam']))
    assert relative_error(camera, ops['proj_cam'].numpy()) < 1e-5


def test_estimated_translation():
    stored = load('spin_smplify')
    keypoints = torch.from_numpy(stored['keypoints_2d'].copy())
    keypoints[..., :2] = keypoints[..., :2] / 112 - 1
    found = estimate_translation(torch.from_numpy(stored['gt_joints']), keypoints)
    reference = stored['estimated_translation']
    assert relative_error(found, reference) < 1e-4


def test_estimated_translation_without_keypoints_is_finite():
    joints, keypoints = torch.randn(3, 49, 3), torch.zeros(3, 49, 3)
    keypoints[1, 30, 2] = 1
    found = estimate_translation(joints, keypoints)
    expected = camera_to_translation(torch.tensor([.9, 0, 0]))
    assert torch.equal(found, expected.expand(3, -1))


def test_similarity_alignment(ops):
    assert relative_error(similarity_align(ops['pa_src'], ops['pa_dst']), ops['pa_out'].numpy()) < 1e-6


@pytest.mark.parametrize('points', [torch.zeros(1, 5, 3), torch.arange(5.).view(1, 5, 1).expand(1, 5, 3)],
                         ids=['coincident', 'collinear'])
def test_similarity_alignment_of_degenerate_points(points):
    target = torch.randn(1, 5, 3)
    assert torch.isfinite(similarity_align(points, target)).all()
    assert torch.isfinite(similarity_align(target, points)).all()


@pytest.mark.parametrize('openpose', [0, 1])
def test_keypoint_2d_loss(ops, openpose):
    loss = L.keypoint_2d_loss(ops['pred_kp2d'], ops['gt_kp2d'], float(openpose), 1.0)
    assert relative_error(loss, ops[f'loss_kp2d_op{openpose}_gt1']) < 1e-5


def test_keypoint_3d_loss(ops):
    loss = L.keypoint_3d_loss(ops['pred_kp3d'], ops['gt_kp3d'], ops['has_3d'])
    assert relative_error(loss, ops['loss_kp3d']) < 1e-5


def test_smpl_losses(ops):
    target = axis_angle_to_rotmat(ops['gt_pose'])
    assert relative_error(L.pose_loss(ops['pred_rotmat'], target, ops['has_smpl']), ops['loss_pose']) < 1e-5
    assert relative_error(L.betas_loss(ops['pred_betas'], ops['gt_betas'], ops['has_smpl']), ops['loss_betas']) < 1e-5


def test_losses_without_targets_are_zero_and_have_no_nan():
    none = torch.zeros(2, dtype=torch.bool)
    joints = torch.full((2, 24, 4), float('nan'))
    predicted = torch.randn(2, 49, 3, requires_grad=True)
    loss = L.keypoint_3d_loss(predicted, joints, none)
    assert loss == 0
    loss = L.keypoint_2d_loss(torch.randn(2, 49, 2), torch.zeros(2, 49, 3))
    assert loss == 0
    assert L.pose_loss(torch.randn(2, 24, 3, 3), torch.randn(2, 24, 3, 3), none) == 0


def test_camera_loss():
    camera = torch.tensor([[.9, 0, 0], [-.1, 1, 1]])
    wanted = np.mean(np.exp(-10 * np.array([.9, -.1])) ** 2)
    assert abs(float(L.camera_loss(camera)) / wanted - 1) < 1e-6
