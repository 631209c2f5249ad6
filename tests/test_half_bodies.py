"""Half bodies stay plausible: two photographs in the public domain, of which the legs are not seen."""
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import load_config
from core.demo.camera import Focus
from core.demo.detect_and_track import DetectAndTrack
from core.demo.fitting import FittingEstimator
from core.demo.keypoints import PictureSource
from core.demo.pictures import read_frame
from models.body import BodyModel
from models.keypoints import build_pose_estimator
from tests.blazepose import there
from tests.public_photographs import PHOTOGRAPHS, known
from utils.keypoints import JOINT_NAMES, SMPL_JOINTS
from utils.safe_io import load_pickle

UP = np.array([0.0, -1.0, 0.0])
pytestmark = there


@pytest.fixture(scope='module', params=PHOTOGRAPHS)
def person(request, free_assets):
    """(name, picture, Estimate, posed body) of the one person of a photograph."""
    cfg = load_config(None, ['PATHS.DATA_DIR', str(free_assets), 'DEMO.RENDER', False])
    keypoints = build_pose_estimator('blazepose')
    fit = FittingEstimator(cfg, None, keypoints)
    frame = read_frame(Path(PHOTOGRAPHS[request.param]), 0, 0)
    people = [(frame, box) for box in DetectAndTrack(cfg, PictureSource(keypoints, {'margin': 1.2}))([frame])[0]]
    [estimate] = fit(people, Focus())
    assert estimate is not None, fit.left_out
    with torch.no_grad():
        posed = BodyModel(free_assets)(torch.from_numpy(estimate.betas)[None], torch.from_numpy(estimate.rotmat)[None])
    return request.param, frame.image, estimate, posed


def joint(posed, name):
    return posed.smpl_joints[0, SMPL_JOINTS.index(name)].numpy()


def degrees_between(first, second):
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_joints_lie_where_they_are_seen(person):
    """Within a fourteenth of the picture's height of where they were read off it."""
    name, image, estimate, _ = person
    names, pixels = known(name)
    found = estimate.keypoints_2d[[JOINT_NAMES.index(joint) for joint in names]]
    assert np.linalg.norm(found - pixels, axis=1).max() < image.shape[0] / 14


def test_head_up_and_torso_upright(person):
    _, _, _, posed = person
    assert degrees_between(joint(posed, 'neck') - joint(posed, 'pelvis'), UP) < 38
    assert degrees_between(joint(posed, 'head') - joint(posed, 'neck'), UP) < 45  # 19 at rest


def test_they_face_the_camera_with_the_left_on_the_pictures_right(person):
    _, _, estimate, posed = person
    assert joint(posed, 'left_shoulder')[0] > joint(posed, 'right_shoulder')[0] + 0.15
    assert joint(posed, 'left_hip')[0] > joint(posed, 'right_hip')[0]
    nose, ears = (estimate.joints[[JOINT_NAMES.index(name) for name in names]].mean(0)
                  for names in (['nose'], ['left_ear', 'right_ear']))
    assert nose[2] < ears[2] - 0.03  # z points away from the camera


def test_legs_that_nobody_sees_stay_at_the_prior(person, free_assets):
    """They hang below the body, and are as likely as those of the prior's own poses."""
    _, image, estimate, posed = person
    focal = np.hypot(*image.shape[:2])  # what is assumed where nothing tells it
    legs = [3 * (SMPL_JOINTS.index(f'{side}_{name}') - 1) + axis for side in ('left', 'right')
            for name in ('hip', 'knee', 'ankle') for axis in range(3)]
    assert nearest_of_prior(free_assets / 'gmm_08.pkl', estimate.pose[3:][legs], legs) < 1
    for side in ('left', 'right'):
        hip, knee, ankle = (joint(posed, f'{side}_{name}') for name in ('hip', 'knee', 'ankle'))
        assert knee[1] > hip[1] and ankle[1] > knee[1]  # y points down
        assert degrees_between(knee - hip, ankle - knee) < 90
        x, y, z = ankle + estimate.translation
        assert focal * y / z > image.shape[0] / 2  # below the picture, where nobody sees them


def nearest_of_prior(file, numbers, rows):
    """Mahalanobis distance of some of a pose's numbers to the nearest of the prior's Gaussians: 1 a dimension is the
    mean of its own poses."""
    mixture = load_pickle(file, ('means', 'covars'))
    off = [(np.asarray(numbers) - mean[rows], covariance[np.ix_(rows, rows)])
           for mean, covariance in zip(mixture['means'], mixture['covars'])]
    return min(difference @ np.linalg.solve(covariance, difference) for difference, covariance in off) / len(rows)
