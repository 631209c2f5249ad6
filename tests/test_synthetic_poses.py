"""The sampler of natural poses, the test whether limbs pass through bodies, and what is fitted to them."""
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import multivariate_normal

from datasets.synthetic.activities import PLAIN, walking_angles
from datasets.synthetic.anatomy import (
    ANGLE_HIGH,
    ANGLE_INDEX,
    ANGLE_LOW,
    ANGLE_NAMES,
    JOINT,
    angles_to_rotmat,
)
from datasets.synthetic.collision import _REST, _segment_distance, forward_kinematics, penetration
from datasets.synthetic.poses import (
    WORLD_TO_CAMERA,
    sample_body_rotations,
    sample_pose,
    sample_poses,
    sample_rotations_of_each,
)
from datasets.synthetic.prior import fit_pose_prior, mean_pose
from utils.keypoints import SMPL_FLIP


def angles_of(**named):
    angles = np.zeros((1, len(ANGLE_NAMES)))
    for name, value in named.items():
        angles[0, ANGLE_INDEX[name]] = value
    return angles


def joints_of(**named):
    """Joints by name of one pose on the nominal skeleton."""
    places = forward_kinematics(angles_to_rotmat(angles_of(**named)), _REST)[1][0]
    return {name: places[number] for name, number in JOINT.items()}


def test_same_seed_same_poses_and_another_seed_others():
    first, again, other = (sample_poses(np.random.default_rng(seed), 20) for seed in (1, 1, 2))
    assert first.shape == (20, 72)
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)
    assert sample_pose(np.random.default_rng(1)).shape == (72,)


def test_angles_mean_what_their_names_say():
    t_pose = angles_to_rotmat(angles_of(left_shoulder_elevation=90, right_shoulder_elevation=90))
    assert np.allclose(t_pose, np.eye(3), atol=1e-12)
    hanging = joints_of()
    assert np.allclose(hanging['left_wrist'] - hanging['left_shoulder'], (0, -.49, 0), atol=.02)
    step = joints_of(left_hip_flexion=90, left_knee_flexion=90, right_hip_abduction=40)
    assert step['left_knee'][2] > .35
    assert step['left_ankle'][1] < step['left_knee'][1] - .35
    assert step['right_ankle'][0] < -.45
    salute = joints_of(left_shoulder_elevation=90, left_shoulder_plane=90, left_elbow_flexion=90)
    assert salute['left_elbow'][2] > .2
    assert salute['left_wrist'][1] > salute['left_elbow'][1] + .2
    bow = joints_of(spine_flexion=60, head_twist=60)
    assert bow['neck'][2] > .2


def test_right_side_is_the_mirror_image_of_the_left():
    rng = np.random.default_rng(0)
    angles = rng.uniform(ANGLE_LOW, ANGLE_HIGH, (50, len(ANGLE_NAMES)))
    mirrored = angles.copy()
    for name, column in ANGLE_INDEX.items():
        if name.startswith('left_'):
            other = ANGLE_INDEX[name.replace('left_', 'right_')]
            mirrored[:, [column, other]] = angles[:, [other, column]]
        elif name in ('spine_bend', 'spine_twist', 'head_bend', 'head_twist', 'tilt'):
            mirrored[:, column] *= -1
    reflect = np.diag([-1.0, 1, 1])
    expected = reflect @ angles_to_rotmat(angles)[:, SMPL_FLIP] @ reflect
    assert np.allclose(angles_to_rotmat(mirrored), expected, atol=1e-9)


def test_knees_and_elbows_bend_one_way_within_their_range():
    body = sample_poses(np.random.default_rng(3), 500).reshape(-1, 24, 3)
    assert np.linalg.norm(body, axis=-1).max() <= np.pi + 1e-6
    knees = np.rad2deg(body[:, [JOINT['left_knee'], JOINT['right_knee']]])
    assert knees[..., 0].min() >= -1e-6
    assert knees[..., 0].max() <= 145 + 1e-6
    assert np.abs(knees[..., 1:]).max() < 1e-6
    assert body[:, JOINT['left_elbow'], 1].max() < .01
    assert body[:, JOINT['right_elbow'], 1].min() > -.01


def test_people_are_mostly_upright_and_turned_to_all_sides():
    rotmat = sample_body_rotations(np.random.default_rng(4), 3000)
    places = forward_kinematics(rotmat, _REST)[1]
    up = (places[:, JOINT['neck']] - places[:, 0])[:, 1] / .5
    assert (up > .7).mean() > .8
    assert .003 < (up < -.5).mean() < .04, 'handstands are rare, but there'
    roots = sample_poses(np.random.default_rng(5), 2000)[:, :3]
    front = (WORLD_TO_CAMERA @ Rotation.from_rotvec(roots).as_matrix())[:, :, 2]
    heading = np.arctan2(front[:, 0], front[:, 2])
    assert (np.abs(heading) < np.pi / 4).mean() > .4
    assert np.histogram(heading, bins=8, range=(-np.pi, np.pi))[0].min() > 60


def test_distance_of_segments_equals_the_smallest_over_dense_points():
    rng = np.random.default_rng(6)
    first, second = rng.normal(size=(2, 200, 2, 3))
    t = np.linspace(0, 1, 201)[:, None]
    points = [s[:, None, 0] + t * (s[:, None, 1] - s[:, None, 0]) for s in (first, second)]
    brute = np.sqrt(((points[0][:, :, None] - points[1][:, None]) ** 2).sum(-1)).min((1, 2))
    exact = _segment_distance(first, second)
    assert (exact <= brute + 1e-9).all()
    assert np.abs(exact - brute).max() < .02


@pytest.mark.parametrize('angles, hits', [
    ({'left_shoulder_elevation': 90, 'right_shoulder_elevation': 90}, False),
    ({'left_shoulder_elevation': 15, 'right_shoulder_elevation': 15, 'left_hip_abduction': 5,
      'right_hip_abduction': 5}, False),
    ({'left_shoulder_elevation': 15, 'left_shoulder_internal': 90, 'left_elbow_flexion': 90}, True),
    ({'left_hip_abduction': -30, 'right_hip_abduction': -30}, True),
    ({'left_shoulder_elevation': 0}, True)])
def test_limbs_through_the_body_are_found(angles, hits):
    assert (penetration(angles_to_rotmat(angles_of(**angles)))[0] > .012) == hits


def test_sampled_poses_have_no_limb_through_the_body():
    assert penetration(sample_body_rotations(np.random.default_rng(7), 500)).max() < .0121


def test_people_who_are_sampled_together_have_the_poses_of_their_own_generators():
    """Some first candidates are rejected, so the people need different numbers of trials."""
    girths = np.linspace(.8, 1.3, 24)
    together = sample_rotations_of_each([np.random.default_rng([9, n]) for n in range(24)], girths, [PLAIN] * 24,
                                        ['walk'] * 12 + [None] * 12)
    alone = [sample_body_rotations(np.random.default_rng([9, n]), 1, girth, PLAIN, 'walk' if n < 12 else None)[0]
             for n, girth in enumerate(girths)]
    assert np.abs(together - alone).max() < 1e-12
    assert penetration(together, girths).max() < .0121


def test_walking_repeats_and_swaps_sides_after_half_a_stride():
    phase = np.linspace(0, 1, 21)
    angles, later = walking_angles(phase), walking_angles((phase + .5) % 1)
    assert np.allclose(angles[0], angles[-1], atol=1e-9)
    left, right = (ANGLE_INDEX[f'{side}_hip_flexion'] for side in ('left', 'right'))
    assert np.allclose(angles[:, left], later[:, right], atol=1e-9)
    assert angles[:, left].max() > 20 > -5 > angles[:, left].min()


def test_prior_is_a_mixture_that_prefers_natural_poses():
    prior = fit_pose_prior(seed=0, count=1500)
    assert prior['means'].shape == (8, 69)
    assert prior['covars'].shape == (8, 69, 69)
    assert prior['weights'].sum() == pytest.approx(1)
    assert np.linalg.eigvalsh(prior['covars']).min() > 1e-4

    def log_likelihood(poses):
        parts = [np.log(w) + multivariate_normal.logpdf(poses, m, c)
                 for w, m, c in zip(prior['weights'], prior['means'], prior['covars'])]
        return np.logaddexp.reduce(parts, axis=0)

    natural = sample_poses(np.random.default_rng(9), 200)[:, 3:]
    broken = natural.copy()
    broken[:, 3 * (JOINT['left_knee'] - 1)] -= 2.6  # further than any knee bends, the wrong way
    assert (log_likelihood(natural) > log_likelihood(broken)).mean() > .97
    again = fit_pose_prior(seed=0, count=1500)
    assert np.array_equal(prior['means'], again['means'])


def test_mean_pose_faces_the_camera_with_arms_down():
    pose = mean_pose(0, 1000)
    assert pose.shape == (72,)
    assert np.abs(pose[:3]) == pytest.approx((np.pi, 0, 0), abs=1e-6)
    left, right = (pose.reshape(24, 3)[JOINT[f'{side}_shoulder']] for side in ('left', 'right'))
    assert left[2] < -.4
    assert right[2] > .4
