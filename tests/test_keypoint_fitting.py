"""Fits to detected keypoints in the picture's camera: known bodies, real people, half bodies, sequences."""
import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.metrics import pa_mpjpe
from datasets.annotations import Annotations
from datasets.fits import mean_parameters
from datasets.image_io import read_picture
from datasets.synthetic.poses import sample_people
from models.body import BodyModel
from models.smplify.keypoint_fitting import FitTargets, KeypointFitter
from models.smplify.person_stage import PersonObservations, PersonStage, PersonState
from models.smplify.priors import PosePrior
from models.smplify.sequence import SequenceFitter
from models.smplify.starts import one_row_a_joint
from utils.assets import find_assets
from utils.geometry import axis_angle_to_rotmat
from utils.keypoints import JOINT_NAMES

REAL = Path(__file__).resolve().parents[2] / 'shared' / 'real' / 'people'
LIMBS = [JOINT_NAMES.index(f'{side}_{joint}') for side in ('left', 'right')
         for joint in ('ankle', 'knee', 'hip', 'wrist', 'elbow', 'shoulder')]
LEGS = [JOINT_NAMES.index(f'{side}_{joint}') for side in ('left', 'right') for joint in ('ankle', 'knee')]
SIZE = (640.0, 480.0)
# BlazePose's joints among the 49.
SEEN = [25 + i for i in range(12)] + [JOINT_NAMES.index(name) for name in ('nose', 'left_eye', 'right_eye', 'left_ear',
                                                                          'right_ear')]


@pytest.fixture(scope='module')
def fitter(free_assets):
    assets = find_assets(free_assets)
    return KeypointFitter(BodyModel(assets.root), PosePrior(assets.file('gmm_08.pkl')), mean_parameters(assets))


def bodies(fitter, count, seed=0):
    """PersonState of people of the project's sampler, who face the camera more or less, four metres away."""
    rng = np.random.default_rng(seed)
    pose = torch.from_numpy(sample_people(rng, count, facing=True)[0].astype(np.float32))
    betas = torch.from_numpy(rng.normal(0, 0.5, (count, 10)).astype(np.float32))
    place = torch.from_numpy(rng.normal((0.4, 0.1, 4.0), 0.3, (count, 3)).astype(np.float32))
    return PersonState(pose[:, 3:], betas, axis_angle_to_rotmat(pose[:, :3]), place)


def seen_by(fitter, state, focal=550.0, noise=0.0, depth=True):
    """FitTargets [N] as an estimator with BlazePose's joints would see these bodies, written out."""
    joints = fitter.joints(state)
    points = joints + state.translation[:, None]
    pixels = focal * points[..., :2] / points[..., 2:] + torch.tensor(SIZE) / 2
    pixels = pixels + noise * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(1))
    low, high = pixels.amin(1), pixels.amax(1)
    center, side = (low + high) / 2, (high - low).amax(1)
    confidence = torch.zeros(len(joints), 49, 1)
    confidence[:, SEEN] = 1
    slope = (center - torch.tensor(SIZE) / 2) / focal
    # What an estimator sees along the ray to the box: the turn that brings the ray straight ahead, by Rodrigues.
    ray = torch.nn.functional.normalize(torch.cat([slope, torch.ones(len(slope), 1)], 1), dim=1)
    axis = torch.linalg.cross(ray, torch.tensor([[0.0, 0.0, 1.0]]).expand_as(ray))
    angle = torch.asin(axis.norm(dim=1, keepdim=True).clamp(max=1))
    turn = axis_angle_to_rotmat(torch.nn.functional.normalize(axis, dim=1) * angle)
    along = joints @ turn.transpose(1, 2)
    joints_3d = torch.cat([along, confidence * float(depth)], -1)
    return FitTargets(torch.cat([pixels, confidence], -1), center, side, torch.full((len(side),), focal),
                  torch.tensor([SIZE]).expand(len(side), 2), joints_3d)


def test_the_gradient_is_that_of_the_cost(fitter):
    """Central differences of the cost, in float64, all terms on."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)
    count = 3
    seen = PersonObservations(100 * normal(count, 49, 2), normal(count, 49).abs(), 400 + 0 * normal(count),
                              0.4 * normal(count, 49, 3), normal(count, 49).abs(), 0.1 * normal(count, 69),
                              30 + 0 * normal(count), normal(count, 10), 25 + 0 * normal(count),
                              0.4 * normal(count, 49, 3), 500 + 0 * normal(count), normal(count, 3),
                              1e4 * normal(count, 3).abs())
    stage = PersonStage(copy.deepcopy(fitter.sparse_body).double(), seen, fitter.weights,
                        copy.deepcopy(fitter.pose_prior).double())
    at = stage.evaluate(PersonState(0.2 * normal(count, 69), normal(count, 10),
                                    axis_angle_to_rotmat(normal(count, 3)),
                                    torch.tensor([[0.3, 0.2, 4.0]], dtype=torch.float64).expand(count, 3)))
    gradient, hessian = stage.linearize(at)
    assert torch.linalg.eigvalsh(hessian).min() > 0
    for entry in range(85):
        step = torch.zeros(count, 85, dtype=torch.float64)
        step[:, entry] = 1e-5
        slope = (stage.moved(at, step).cost - stage.moved(at, -step).cost) / 2e-5
        assert torch.allclose(slope / 2, gradient[:, entry], rtol=1e-5, atol=1e-3), entry


@pytest.mark.parametrize('depth, most', [(True, 35.0), (False, 75.0)])
def test_known_bodies_are_found_again(fitter, depth, most):
    """From the mean body: to `most` mm after Procrustes, on the keypoints, and where they stand."""
    truth = bodies(fitter, 8)
    people = seen_by(fitter, truth, noise=1.0, depth=depth)
    fit = fitter(people)
    assert fit.error.mean() < 0.015 and fit.error.max() < 0.03 and (fit.seen == 12).all()
    assert (fit.start == (1 if depth else 2)).all()
    assert pa_mpjpe(fit.joints[:, LIMBS], fitter.joints(truth)[:, LIMBS]).mean() < most
    # The angles of the torso, shoulders and hips, tell which way one faces.
    axes = [joints[:, LIMBS[5]] - joints[:, LIMBS[11]] for joints in (fit.joints, fitter.joints(truth))]
    assert torch.nn.functional.cosine_similarity(*axes).min() > 0.8
    assert (fit.state.translation[:, 2] / truth.translation[:, 2] - 1).abs().mean() < 0.12
    assert torch.isfinite(fit.keypoints_2d).all()


def test_a_fit_does_not_depend_on_who_else_is_fitted(fitter):
    people = seen_by(fitter, bodies(fitter, 5), noise=1.0)
    together, alone = fitter(people), fitter(people.select(slice(2, 3)))
    assert torch.allclose(together.joints[2], alone.joints[0], atol=2e-3)


def test_an_estimate_that_explains_the_keypoints_is_where_the_fit_begins(fitter):
    truth = bodies(fitter, 4)
    people = seen_by(fitter, truth, noise=1.0, depth=False)
    fit = fitter(people, truth)
    assert (fit.start == 0).all()
    off = [pa_mpjpe(found.joints[:, LIMBS], fitter.joints(truth)[:, LIMBS]).mean() for found in (fit, fitter(people))]
    assert off[0] < 0.8 * off[1]
    wrong = PersonState(truth.body_pose, truth.betas, truth.orient, truth.translation + torch.tensor([1.0, 0, 0]))
    unknown = PersonState(*(torch.full_like(value, torch.nan) for value in vars(truth).values()))
    assert (fitter(people, wrong).start == 2).all() and (fitter(people, unknown).start == 2).all()


def test_joints_outside_of_the_picture_say_nothing(fitter):
    """What an estimator makes up below the picture's edge does not move the body; legs stay near the mean pose's."""
    truth = bodies(fitter, 8)
    truth = replace(truth, translation=torch.tensor([[0.1, 0.35, 1.4]]).expand(8, 3))
    people = seen_by(fitter, truth)
    people = people.select((people.keypoints[:, LEGS, 1] > SIZE[1]).all(1))
    below = people.keypoints[..., 1] > SIZE[1]
    assert len(below) > 3
    wild = replace(people, keypoints=torch.where(below[..., None], people.keypoints.new_tensor([300.0, 2000.0, 1.0]),
                                                 people.keypoints))
    wild = replace(wild, joints_3d=torch.cat([wild.joints_3d[..., :3],
                                              wild.joints_3d[..., 3:] * ~below[..., None]], -1))
    fit = fitter(wild)
    upper = [joint for joint in LIMBS if not below[:, joint].any()]
    assert len(upper) >= 6 and fit.error.max() < 0.03
    hips_to_ankles = fit.joints[:, LEGS[0]] - fit.joints[:, LIMBS[2]]
    # Longer than half a metre downwards, in the body's own axes.
    down = torch.einsum('bji,bj->bi', fit.state.orient, hips_to_ankles)
    assert (down[:, 1] < -0.5).all() and torch.isfinite(fit.state.translation).all()


def test_openposes_limbs_count_where_nobody_annotated_them():
    keypoints = torch.zeros(1, 49, 3)
    openpose, annotated = JOINT_NAMES.index('openpose_left_knee'), JOINT_NAMES.index('left_knee')
    keypoints[0, openpose] = torch.tensor([5.0, 6.0, 0.7])
    merged = one_row_a_joint(keypoints)
    assert merged[0, annotated].tolist() == pytest.approx([5.0, 6.0, 0.7]) and not merged[0, openpose].any()
    keypoints[0, annotated] = torch.tensor([9.0, 9.0, 1.0])
    assert one_row_a_joint(keypoints)[0, annotated].tolist() == [9.0, 9.0, 1.0]


def test_nobody_is_fitted_to_nothing(fitter):
    """No keypoint, or NaN: finite parameters, an infinite error."""
    people = seen_by(fitter, bodies(fitter, 2))
    for keypoints in (torch.zeros(2, 49, 3), torch.full((2, 49, 3), torch.nan)):
        fit = fitter(replace(people, keypoints=keypoints, joints_3d=torch.zeros(2, 49, 4)))
        assert torch.isinf(fit.error).all() and (fit.seen == 0).all()
        assert all(torch.isfinite(value).all() for value in vars(fit.state).values())


@pytest.mark.skipif(not REAL.exists(), reason='../shared is not here')
def test_real_people_from_their_annotated_keypoints(fitter):
    """Ten real people, none of whom the weights were chosen on: on their keypoints, and 75 mm from measured joints."""
    rows = Annotations.load(REAL / 'people.npz')
    images = [REAL / 'images' / str(name).split('/')[-1] for name in rows.imgname]
    size = torch.tensor([read_picture(path).pixels.shape[1::-1] for path in images], dtype=torch.float32)
    side = torch.as_tensor(np.asarray(rows.scale), dtype=torch.float32) * 200
    people = FitTargets(torch.as_tensor(rows.keypoints_2d, dtype=torch.float32),
                    torch.as_tensor(np.asarray(rows.center), dtype=torch.float32), side, size.norm(dim=1), size,
                    torch.zeros(len(side), 49, 4))
    fit = fitter(people)
    assert fit.error.mean() < 0.025 and fit.error.max() < 0.04
    known = torch.as_tensor(rows.has_joints_3d).bool()
    truth = torch.as_tensor(rows.joints_3d, dtype=torch.float32)[known, :12, :3]
    assert known.sum() == 2 and pa_mpjpe(fit.joints[known][:, 25:37], truth).mean() < 75


def walk(fitter, frames=24):
    """[(FitTargets, time)] of a body that swings its limbs and moves sideways, with three pixels of noise."""
    start = bodies(fitter, 1, seed=3)
    sequence = []
    for frame in range(frames):
        swing = np.sin(2 * np.pi * frame / 24)
        pose = start.body_pose.clone()
        pose[:, [0, 3]] += torch.tensor([0.5 * swing, -0.5 * swing], dtype=torch.float32)
        state = replace(start, body_pose=pose, translation=start.translation + torch.tensor([0.02 * frame, 0, 0]))
        people = seen_by(fitter, state)
        noise = torch.from_numpy(np.random.default_rng(frame).normal(0, 3, (1, 49, 2)).astype(np.float32))
        noisy = torch.cat([people.keypoints[..., :2] + noise, people.keypoints[..., 2:]], -1)
        joints = fitter.joints(state) + state.translation[:, None]
        sequence.append((replace(people, keypoints=noisy), frame / 30, joints))
    return sequence


def test_a_sequence_is_calmer_than_its_frames_and_as_near(fitter):
    frames, tracker = walk(fitter), SequenceFitter(fitter)
    follow = [tracker(people, [7], time) for people, time, _ in frames]
    alone = [fitter(people) for people, _, _ in frames]

    def places(fits):
        return torch.cat([fit.joints + fit.state.translation[:, None] for fit in fits])

    def acceleration(joints):
        return (joints[2:] - 2 * joints[1:-1] + joints[:-2]).norm(dim=-1).mean()
    truth = torch.cat([joints for _, _, joints in frames])
    assert acceleration(places(follow)) < 0.4 * acceleration(places(alone))
    assert acceleration(places(follow)) > 0.2 * acceleration(truth)  # it moves
    errors = [(places(fits)[4:, LIMBS] - truth[4:, LIMBS]).norm(dim=-1).mean() for fits in (follow, alone)]
    assert errors[0] < errors[1]
    assert [int(fit.start) for fit in follow[:3]] == [1, 3, 3]
    betas = torch.cat([fit.state.betas for fit in follow])
    assert betas[4:].std(0).mean() < 0.1


def test_a_jump_a_pause_and_another_number_begin_anew(fitter):
    (first, _, _), (second, _, _) = walk(fitter, 2)
    # One step is too little for somebody else, and what it reaches is not near enough.
    strict = copy.copy(fitter)
    strict.explains = 0.02
    tracker = SequenceFitter(strict, iterations=1)
    assert tracker.is_new(0, 0.0)
    tracker(first, [0], 0.0)
    assert not tracker.is_new(0, 0.1) and tracker.is_new(1, 0.1) and tracker.is_new(0, 2.0)
    other = bodies(fitter, 1, seed=9)
    behind = axis_angle_to_rotmat(torch.tensor([[0.0, np.pi, 0.0]], dtype=torch.float32)) @ other.orient
    assert int(tracker(second, [0], 1 / 30).start) == 3
    assert int(tracker(second, [0], 1 / 30).start) == 3
    jumped = tracker(seen_by(fitter, replace(other, orient=behind)), [0], 2 / 30)
    assert int(jumped.start) != 3 and jumped.error.max() < 0.04
    assert int(tracker(second, [0], 5.0).start) != 3


def test_weights_mean_the_same_at_every_size(fitter):
    """A picture twice as large, with twice the focal length, is the same person."""
    people = seen_by(fitter, bodies(fitter, 3), noise=1.0)
    large = replace(people, keypoints=people.keypoints * torch.tensor([2.0, 2.0, 1.0]), center=2 * people.center,
                    side=2 * people.side, focal=2 * people.focal, size=2 * people.size)
    assert torch.allclose(fitter(people).joints, fitter(large).joints, atol=2e-3)
