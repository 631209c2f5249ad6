"""3D joints of people without pelvis or hips: an absent root is not at the origin."""
import numpy as np
import pytest
import torch

from core.evaluation.evaluator import _annotated_joints
from core.evaluation.protocols import J14
from models.losses import keypoint_3d_loss
from utils.keypoints import has_root

RIGHT_HIP, LEFT_HIP, PELVIS = 2, 3, 14
FAR = torch.tensor([1.0, -2.0, 4.0])  # metres


@pytest.fixture
def people():
    """(49 joints of two people, the last 24 as labels with another origin)."""
    joints = torch.randn(2, 49, 3, generator=torch.Generator().manual_seed(0)) / 3
    return joints, torch.cat([joints[:, 25:] + FAR, torch.ones(2, 24, 1)], 2)


def without(target, *absent):
    target = target.clone()
    target[0, list(absent)] = 0
    return target


@pytest.mark.parametrize('absent', [(), (PELVIS,), (RIGHT_HIP,), (LEFT_HIP, RIGHT_HIP), (PELVIS, LEFT_HIP)])
def test_a_perfect_estimate_loses_nothing(people, absent):
    joints, target = people
    assert keypoint_3d_loss(joints, without(target, *absent), torch.ones(2)) < 1e-10


def test_rows_without_a_root_do_not_count(people):
    """The loss is that of the other row alone."""
    joints, target = people
    joints = joints + torch.rand(joints.shape, generator=torch.Generator().manual_seed(1)) / 10
    for has_3d in (torch.ones(2), torch.ones(2, dtype=torch.bool)):
        loss = keypoint_3d_loss(joints, without(target, PELVIS, LEFT_HIP), has_3d)
        assert loss == pytest.approx(float(keypoint_3d_loss(joints[1:], target[1:], has_3d[1:])))
    assert loss > 1e-4


def test_gradient_of_a_row_without_a_root_is_zero(people):
    joints, target = people
    joints = (joints + 0.1 * torch.rand_like(joints)).requires_grad_()
    keypoint_3d_loss(joints, without(target, *range(24)), torch.ones(2)).backward()
    assert not joints.grad[0].any() and joints.grad[1].any()


def test_which_rows_have_a_root(people):
    confidence = np.zeros((5, 24))
    confidence[1, PELVIS] = confidence[2, LEFT_HIP] = confidence[3, [LEFT_HIP, RIGHT_HIP]] = confidence[4, 0] = 1
    assert has_root(confidence).tolist() == [False, True, False, True, False]
    assert has_root(torch.from_numpy(confidence)).tolist() == [False, True, False, True, False]


def test_evaluation_centres_at_pelvis_or_hips(people):
    _, target = people
    joints, valid, rooted = _annotated_joints(without(target, PELVIS, LEFT_HIP), J14)
    assert rooted.tolist() == [False, True] and valid.sum(1).tolist() == [13, 14]
    torch.testing.assert_close(joints[1], (target[1, :, :3] - target[1, PELVIS, :3])[list(J14.from_common)])
    by_hips, _, rooted = _annotated_joints(without(target, PELVIS), J14)
    middle = (target[0, LEFT_HIP, :3] + target[0, RIGHT_HIP, :3]) / 2
    assert rooted.all()
    torch.testing.assert_close(by_hips[0], (target[0, :, :3] - middle)[list(J14.from_common)])
