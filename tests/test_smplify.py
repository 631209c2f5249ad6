"""SMPLify: agreement with the published code, derivatives, several views, bad input."""
import copy
import pickle

import numpy as np
import pytest
import torch

from core.config import load_config
from models.smplify import build_smplify, objective
from models.smplify.levenberg_marquardt import minimize
from models.smplify.objective import Weights
from models.smplify.priors import PosePrior, angle_prior
from models.smplify.sparse_body import SparseBody
from models.smplify.stages import BodyStage, CameraStage, FitState
from tests.reference.compare import load, relative_error
from utils.device_constants import on_device
from utils.errors import BadFile
from utils.geometry import axis_angle_to_rotmat, estimate_translation, rotmat_to_axis_angle, similarity_align

CENTER = 112.0


@pytest.fixture(scope='module')
def reference():
    return {name: torch.from_numpy(value) for name, value in load('spin_smplify').items()}


def build(assets, method, *overrides):
    return build_smplify(load_config(None, ['PATHS.DATA_DIR', str(assets), 'SMPLIFY.METHOD', method,
                                            'SMPLIFY.NUM_ITERS', 50, *overrides]))


@pytest.fixture(scope='module')
def smplify(standin_assets):
    return build(standin_assets, 'lm')


def arguments(reference, rows=slice(None)):
    keypoints = reference['keypoints_2d'][rows]
    return [reference['init_pose'][rows], reference['init_betas'][rows], reference['init_cam_t'][rows],
            torch.full((len(keypoints), 2), CENTER), keypoints]


@pytest.fixture(scope='module')
def start(reference, smplify):
    """State, observations and joints at the reference's initial parameters."""
    pose, betas, translation, center, keypoints = arguments(reference)
    state = FitState(pose[:, 3:], betas, axis_angle_to_rotmat(pose[:, None, :3]), translation[:, None])
    seen = objective.observe(keypoints[:, None], center[:, None], translation[:, None], None, 5000.0, True)
    joints = smplify.sparse_body.joints(smplify.sparse_body.pose(state.body_pose, betas), state.orient)
    return state, seen, joints


# Agreement with the published code

def test_joints_without_a_mesh(reference, start):
    assert relative_error(start[2][:, 0], reference['init_joints'].numpy()) < 1e-5


def test_priors(reference, smplify):
    body_pose = reference['init_pose'][:, 3:]
    assert relative_error(smplify.pose_prior(body_pose), reference['init_pose_prior'].numpy()) < 1e-4
    assert relative_error(angle_prior(body_pose).sum(-1), reference['init_angle_prior'].numpy()) < 1e-4


def test_losses_at_the_start(reference, start, smplify):
    state, seen, joints = start
    moved = state.translation + torch.tensor([0.1, 0.1, 0.5])
    camera = objective.camera_loss(joints, moved, seen, Weights())
    body = objective.body_loss(joints, state.translation, state.body_pose, state.betas, seen, smplify.pose_prior,
                               Weights())
    assert relative_error(camera, reference['init_camera_loss'].numpy()) < 1e-4
    assert relative_error(body, reference['init_body_loss'].numpy()) < 1e-4


def test_initial_reprojection(reference, smplify):
    loss = smplify.fitting_loss(*arguments(reference))
    assert relative_error(loss, reference['initial_reprojection'].numpy()) < 1e-4


def test_estimated_translation(reference):
    keypoints = reference['keypoints_2d'].clone()
    keypoints[..., :2] = keypoints[..., :2] / CENTER - 1
    estimate = estimate_translation(reference['gt_joints'], keypoints)
    assert relative_error(estimate, reference['estimated_translation'].numpy()) < 1e-4


def test_adam_is_the_published_one(reference, standin_assets):
    result = build(standin_assets, 'adam')(*arguments(reference))
    wanted = reference['final_reprojection'].mean(1)
    assert ((result.reprojection_loss.mean(1) - wanted).abs() / wanted).max() < 0.02
    assert relative_error(result.pose, reference['final_pose'].numpy()) < 1e-3


def test_default_fits_better_than_adam_in_2d_and_3d(reference, smplify):
    result = smplify(*arguments(reference))
    assert result.valid.all()
    assert result.reprojection_loss.mean() < 0.8 * reference['final_reprojection'].mean()
    body = smplify.body(reference['final_betas'], pose=reference['final_pose'])
    assert aligned_error(result.joints, reference['gt_joints']) < aligned_error(body.joints, reference['gt_joints'])


def aligned_error(joints, wanted):
    return (similarity_align(joints, wanted) - wanted).norm(dim=-1).mean()


def test_result_is_consistent(reference, smplify):
    result = smplify(*arguments(reference))
    body = smplify.body(result.betas, pose=result.pose)
    assert torch.allclose(result.joints, body.joints, atol=1e-5)
    assert torch.allclose(result.vertices, body.vertices, atol=1e-6)
    assert result.reprojection_loss.shape == (16, 49)
    again = smplify.fitting_loss(result.pose, result.betas, result.camera_translation,
                                 *arguments(reference)[3:])
    assert torch.allclose(again, result.reprojection_loss, atol=1e-2)


# Derivatives

def in_double(smplify):
    """The sparse body in double precision, without pose blend shapes, which its Jacobian leaves out."""
    body = copy.deepcopy(smplify.sparse_body).double()
    body.moment_by_pose.zero_()
    return body


def test_jacobians_of_points(smplify):
    body = in_double(smplify)
    torch.manual_seed(0)
    theta, betas = 0.4 * torch.randn(2, 69).double(), torch.randn(2, 10).double()
    theta[1, :30] = 0  # the series near the identity
    pose = body.pose(theta, betas)
    for jacobian, function, at in (
            (body.pose_jacobian(pose), lambda value: body.pose(value, betas).points, theta),
            (body.betas_jacobian(pose)[0], lambda value: body.pose(theta, value).points, betas)):
        numeric = torch.autograd.functional.jacobian(lambda value, f=function: f(value).sum(0), at)
        assert torch.allclose(numeric.permute(2, 0, 1, 3), jacobian, atol=1e-6)


@pytest.mark.parametrize('calibrated', [False, True])
@pytest.mark.parametrize('kind', ['camera', 'body'])
def test_gradient_of_a_stage(smplify, kind, calibrated):
    """Twice the gradient equals finite differences of the cost, with two views."""
    body = in_double(smplify)
    prior = copy.deepcopy(smplify.pose_prior).double()
    state, seen = two_views(body, calibrated)
    weights = Weights()
    stage = CameraStage(body, seen, weights) if kind == 'camera' else BodyStage(
        body, seen, weights, prior, state.body_pose + 0.1, 50.0)
    at = stage.evaluate(state)
    gradient, hessian = stage.linearize(at)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        step = 1e-5 * torch.randn(gradient.shape, generator=generator).double()
        change = stage.moved(at, step).cost - stage.moved(at, -step).cost
        assert torch.allclose(change, 4 * (gradient * step).sum(1), rtol=1e-3)
    assert torch.allclose(hessian, hessian.transpose(1, 2))


def two_views(body, calibrated, noise=3.0):
    """(state near a random body, observations of the body from two sides)."""
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).double()
    theta, betas = 0.2 * draw(3, 69), 0.5 * draw(3, 10)
    world = axis_angle_to_rotmat(torch.tensor([[[torch.pi, 0, 0]]]).double() + 0.2 * draw(3, 1, 3))
    cameras = axis_angle_to_rotmat(torch.tensor([[[0, 0, 0], [0, 1.2, 0]]]).double()).expand(3, -1, -1, -1)
    translation = torch.tensor([0.0, 0.2, 50.0]).double().expand(3, 2, 3)
    joints = body.joints(body.pose(theta, betas), cameras @ world)
    center = torch.full((3, 2, 2), CENTER).double()
    points = 5000 * (joints + translation[:, :, None])[..., :2] / (joints + translation[:, :, None])[..., 2:] + CENTER
    keypoints = torch.cat([points + noise * draw(3, 2, 49, 2), torch.ones(3, 2, 49, 1).double()], -1)
    seen = objective.observe(keypoints, center, translation + 0.3, cameras if calibrated else None, 5000.0, False)
    orient = world if calibrated else cameras @ world
    return FitState(theta + 0.1 * draw(3, 69), betas, orient, translation + 0.05 * draw(3, 2, 3)), seen


def test_no_step_raises_the_cost(start, smplify):
    state, seen, _ = start
    stage = BodyStage(smplify.sparse_body, seen, Weights(), smplify.pose_prior, state.body_pose, 0.0)
    costs = [minimize(stage, stage.evaluate(state), count, 0.0).cost for count in (0, 1, 2, 4, 8)]
    for before, after in zip(costs, costs[1:]):
        assert (after <= before).all()
    assert (costs[-1] < 0.5 * costs[0]).all()


def test_a_fit_does_not_depend_on_its_batch(reference, smplify):
    """Converged problems leave the batch, which does not change the others."""
    together = smplify(*arguments(reference))
    alone = smplify(*arguments(reference, slice(3, 4)))
    assert torch.allclose(together.pose[3:4], alone.pose, atol=2e-3)


# Several views

def seen_from(smplify, angles, noise, seed=0, people=6):
    """(arguments of SMPLify with a wrong initial pose, camera rotations, true joints) for cameras at these angles."""
    generator = torch.Generator().manual_seed(seed)
    truth = smplify.pose_prior.means[:people] + 0.15 * torch.randn(people, 69, generator=generator)
    betas = torch.randn(people, 10, generator=generator)
    upright = torch.tensor([torch.pi, 0, 0])
    cameras = axis_angle_to_rotmat(torch.tensor([[0, angle, 0] for angle in angles]))
    orient = cameras @ axis_angle_to_rotmat(upright)
    joints = smplify.sparse_body.joints(smplify.sparse_body.pose(truth, betas), orient.expand(people, -1, 3, 3))
    translation = torch.tensor([0, 0.2, 55.0]).expand(people, len(angles), 3)
    points = joints + translation[:, :, None]
    pixels = 5000 * points[..., :2] / points[..., 2:] + CENTER
    pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
    keypoints = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
    begin = truth + 0.25 * torch.randn(people, 69, generator=generator)
    turned = rotmat_to_axis_angle(orient).expand(people, -1, 3)
    pose = torch.cat([turned, begin[:, None].expand(-1, len(angles), -1)], -1)
    center = torch.full((people, 2), CENTER)
    return (pose, torch.zeros(people, 10), translation, center, keypoints), cameras.expand(people, -1, 3, 3), joints


@pytest.mark.parametrize('calibrated', [False, True])
def test_four_views_at_least_halve_the_error_of_one(smplify, calibrated):
    angles = [0.0, 0.8, 1.6, 2.4]
    given, cameras, joints = seen_from(smplify, angles, noise=1.0)
    result = smplify(*given, camera_rotation=cameras if calibrated else None)
    assert result.reprojection_loss.shape == (6, 4, 49) and result.camera_translation.shape == (6, 4, 3)
    assert result.view_pose.shape == (6, 4, 72) and result.valid.all()
    pose, betas, translation, center, keypoints = given
    single = smplify(pose[:, :1], betas, translation[:, :1], center, keypoints[:, :1])
    assert aligned_error(result.joints, joints[:, 0]) < 0.5 * aligned_error(single.joints, joints[:, 0])
    if calibrated:
        orient = axis_angle_to_rotmat(result.global_orient)
        assert torch.allclose(orient[:, 1], cameras[:, 1] @ orient[:, 0], atol=1e-4)


def test_one_view_with_and_without_its_axis(reference, smplify):
    plain = smplify(*arguments(reference))
    pose, betas, cam_t, center, keypoints = arguments(reference)
    axis = smplify(pose, betas, cam_t[:, None], center[:, None], keypoints[:, None])
    assert torch.equal(plain.pose, axis.pose) and axis.reprojection_loss.shape == (16, 1, 49)


# Bad input

def damaged(reference):
    """Five bad rows and a good one: no keypoints, one keypoint, NaN confidences, half outside the picture, NaN pose."""
    pose, betas, cam_t, center, keypoints = [value[:6].clone() for value in arguments(reference)]
    keypoints[0, :, 2] = 0
    keypoints[1, :, 2] = 0
    keypoints[1, 31, 2] = 1
    keypoints[2, :, 2] = float('nan')
    keypoints[3, :, 0] += 224 - keypoints[3, :, 0].median()
    pose[4] = float('nan')
    return pose, betas, cam_t, center, keypoints


@pytest.mark.parametrize('method', ['lm', 'adam'])
def test_bad_input_is_finite_and_invalid(reference, standin_assets, method):
    fit = build(standin_assets, method, 'SMPLIFY.NUM_ITERS', 10)
    result = fit(*damaged(reference))
    assert result.valid.tolist() == [False] * 5 + [True]
    for name in ('pose', 'betas', 'camera_translation', 'joints', 'vertices', 'reprojection_loss'):
        assert torch.isfinite(getattr(result, name)).all(), name


def test_a_bad_row_leaves_the_others_alone(reference, smplify):
    clean = [value[:6] for value in arguments(reference)]
    assert torch.allclose(smplify(*damaged(reference)).pose[5], smplify(*clean).pose[5], atol=2e-3)


@pytest.mark.parametrize('broken', [float('nan'), float('inf'), -5.0, 0.0])
def test_bad_camera(reference, smplify, broken):
    given = arguments(reference, slice(0, 2))
    given[2] = torch.full((2, 3), broken)
    result = smplify(*given)
    assert torch.isfinite(result.pose).all() and result.reprojection_loss.mean() < 100


@pytest.mark.parametrize('method', ['lm', 'adam'])
def test_inputs_stay_as_they_are(reference, standin_assets, method):
    given = arguments(reference)
    copies = [value.clone() for value in given]
    fit = build(standin_assets, method, 'SMPLIFY.NUM_ITERS', 2)
    fit(*given)
    fit.fitting_loss(*given)
    assert all(torch.equal(value, copy) for value, copy in zip(given, copies))


def test_wrong_shapes_are_named(reference, smplify):
    given = arguments(reference)
    with pytest.raises(ValueError, match='keypoints_2d has shape'):
        smplify(*given[:4], given[4][:, :48])
    with pytest.raises(ValueError, match='pose has shape'):
        smplify(given[0][:3], *given[1:])


def test_prior_files_are_checked(tmp_path):
    for content, message in (([1, 2], 'not a pose prior'),
                             ({'means': np.zeros((8, 69)), 'covars': np.zeros((8, 68, 68)), 'weights': np.ones(8)},
                              'covars has shape'),
                             ({'means': np.zeros((8, 69)), 'covars': np.zeros((8, 69, 69)), 'weights': np.ones(8)},
                              'must be positive')):
        file = tmp_path / 'gmm_08.pkl'
        file.write_bytes(pickle.dumps(content))
        with pytest.raises(BadFile, match=message):
            PosePrior(file)


def test_sparse_body_equals_the_mesh(smplify):
    torch.manual_seed(2)
    pose, betas = 0.5 * torch.randn(4, 72), torch.randn(4, 10)
    sparse = SparseBody(smplify.body)
    joints = sparse.joints(sparse.pose(pose[:, 3:], betas), axis_angle_to_rotmat(pose[:, None, :3]))
    assert torch.allclose(joints[:, 0], smplify.body(betas, pose=pose).joints, atol=1e-5)


def test_constants_of_inference_mode_can_be_trained_with():
    on_device.cache_clear()
    pose = torch.zeros(1, 69)
    with torch.inference_mode():
        angle_prior(pose)
    pose.requires_grad_()
    angle_prior(pose).sum().backward()
    assert (pose.grad != 0).sum() == 4
