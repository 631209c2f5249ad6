"""Dense targets are at the body's 2D keypoints, and absent where these do not determine a camera."""
import numpy as np
import pytest
import torch

from models.body import BodyModel
from models.danet.losses import center_targets
from models.targets import Targets
from utils.geometry import estimate_translation, solve_translation
from utils.iuv import IUVRenderer
from utils.iuv_maps import dense_iuv_losses

CAMERA = torch.tensor([0.55, 0.3, -0.25])  # far from (0.9, 0, 0)


@pytest.fixture(scope='module')
def body(standin_assets):
    return BodyModel(standin_assets)


@pytest.fixture(scope='module')
def renderer(standin_assets):
    return IUVRenderer(standin_assets / 'UV_data/UV_Processed.mat', size=56)


@pytest.fixture
def targets(body, renderer):
    """Three people in one pose: with annotated joints, with OpenPose's joints alone, with one annotated joint."""
    pose = torch.zeros(3, 72)
    pose[:, 0] = np.pi  # upright in a frame whose y goes down
    posed = body(torch.zeros(3, 10), pose=pose)
    depth = 2 * 5000 / (224 * CAMERA[0])  # weak perspective: SPIN, arXiv 1909.12828
    points = posed.joints + torch.stack([CAMERA[1], CAMERA[2], depth])
    seen = points[..., :2] / points[..., 2:] * (5000 / 112)
    keypoints = torch.cat([seen, torch.ones(3, 49, 1)], -1)
    keypoints[1, 25:] = 0
    keypoints[2, 26:] = 0
    annotated = torch.rand(3, 24, 3, generator=torch.Generator().manual_seed(0))
    return Targets(keypoints, annotated, torch.zeros(3, 24, 4), torch.zeros(3), pose, torch.zeros(3, 10),
                   torch.ones(3, dtype=torch.bool), body, renderer)


def test_dense_targets_lie_where_a_camera_was_solved(targets, renderer):
    assert targets.dense_valid.tolist() == [True, False, False] and targets.valid.all()
    assert torch.allclose(targets.camera[0], CAMERA, atol=1e-4)
    truth = renderer(targets.vertices[:1], CAMERA[None])[0, 0] > 0
    drawn = targets.iuv[0, 0] > 0
    assert truth.sum() > 100 and (truth & drawn).sum() > 0.98 * (truth | drawn).sum()
    assert not targets.iuv[1:].any()


def test_no_camera_no_dense_loss(targets):
    maps = [torch.randn(3, channels, 56, 56, generator=torch.Generator().manual_seed(channels))
            for channels in (25, 25, 25, 15)]
    alone = dense_iuv_losses(*(m[:1] for m in maps), targets.iuv[:1], targets.dense_valid[:1])
    without = dense_iuv_losses(*(m[1:] for m in maps), targets.iuv[1:], targets.dense_valid[1:])
    assert all(value > 0 for value in alone.values()) and not any(without.values())


def test_danets_part_centres_are_annotated_joints_without_a_camera(targets):
    centers = center_targets(targets)
    assert torch.equal(centers[1:], targets.smpl_keypoints_2d[1:])
    assert not torch.equal(centers[0], targets.smpl_keypoints_2d[0])


def test_unsolvable_translations_are_marked(body):
    joints = body(torch.zeros(3, 10), pose=torch.zeros(3, 72)).joints
    keypoints = torch.ones(3, 49, 3)  # all joints at one place, which no distance gives
    keypoints[1, 25:, 2] = 0
    keypoints[2, 25:, :2] = joints[2, 25:, :2] / 30
    translation, solved = solve_translation(joints, keypoints)
    assert solved.tolist()[1:] == [False, True]
    assert torch.allclose(translation[1], torch.tensor([0, 0, 2 * 5000 / (224 * .9)]), atol=1e-3)
    assert torch.equal(estimate_translation(joints, keypoints), translation)
