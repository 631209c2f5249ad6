"""Losses and rules of single recipes, compared with arithmetic: means over visible coordinates, decay by steps, the
first view alone, the published torso, objective and threshold of fits, the losses of DaNet's first version."""
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.config import load_config
from core.training.fitting import FitsInTheLoop
from core.training.schedule import learning_rate
from core.training.supervision import all_losses
from models import losses as L
from models.body import BodyModel
from models.danet import losses as danet
from models.danet.target_losses import joints_loss, reprojection_loss, target_losses
from models.output import RegressorOutput, Stage
from models.smplify import build_smplify, objective
from models.targets import Targets
from tests.reference.compare import load
from tests.test_danet import quick, targets_for
from tests.test_fits import estimate, make_batch
from utils.errors import BadConfig
from utils.keypoints import JOINT_NAMES


@pytest.fixture(scope='module')
def body(standin_assets):
    return BodyModel(standin_assets)


# Keypoint losses

def test_2d_keypoints_divided_by_the_visible_coordinates():
    """Errors of 0.5 in x and 0.1 in y at three joints of one row: one is OpenPose's, one has a confidence of 0.5."""
    target = torch.zeros(2, 49, 3)
    target[0, 3, 2], target[0, 30, 2], target[0, 31, 2] = 1.0, 1.0, 0.5
    predicted = torch.tensor([0.5, 0.1]).expand(2, 49, 2)
    smooth = 0.5 * 0.5 ** 2 + 0.5 * 0.1 ** 2  # both axes, smooth L1 below 1
    total = smooth * (1 + 1 + 0.5)
    loss = L.keypoint_2d_loss(predicted, target, 1.0, 1.0, 'smooth_l1', 'visible')
    assert float(loss) == pytest.approx(total / (3 * 2))
    # With a weight of 0 OpenPose's joint is not visible.
    loss = L.keypoint_2d_loss(predicted, target, 0.0, 1.0, 'smooth_l1', 'visible')
    assert float(loss) == pytest.approx(smooth * 1.5 / (2 * 2))
    assert float(L.keypoint_2d_loss(predicted, target, 1.0, 1.0, 'smooth_l1')) == pytest.approx(total / (2 * 49 * 2))
    assert L.keypoint_2d_loss(predicted, torch.zeros(2, 49, 3), mean='visible') == 0


def test_3d_keypoints_divided_by_the_visible_coordinates():
    """Visible hips at the origin, one joint 0.2 m off in depth, another right. The second row has no 3D joints."""
    joints, target = torch.zeros(2, 49, 3), torch.zeros(2, 24, 4)
    joints[:, 25 + 7, 2] = 0.2
    target[0, 7, 3], target[0, 8, 3], target[0, 2:4, 3] = 0.5, 1.0, 1.0
    target[1] = float('nan')
    has_3d = torch.tensor([True, False])
    loss = L.keypoint_3d_loss(joints, target, has_3d, 'smooth_l1', 'visible')
    assert float(loss) == pytest.approx(0.5 * (0.5 * 0.2 ** 2) / (4 * 3))
    assert float(L.keypoint_3d_loss(joints, target, has_3d, 'smooth_l1')) == pytest.approx(0.5 * (0.5 * 0.2 ** 2) / 72)
    assert L.keypoint_3d_loss(joints, target, torch.zeros(2, dtype=torch.bool), mean='visible') == 0


# The solver

@pytest.mark.parametrize('step, rate', [(0, 1e-4), (29998, 1e-4), (29999, 1e-5), (59998, 1e-5), (59999, 1e-6)])
def test_danets_rate_decays_before_steps_30000_and_60000(step, rate):
    solver = load_config('danet.yaml').SOLVER
    assert learning_rate(solver, epoch=3, step=step, share=0.5) == pytest.approx(rate)


# The first view alone

@pytest.mark.parametrize('which, wanted', [('first', (1 + 9) / 2), ('all', (1 + 81 + 9 + 25) / 4)])
def test_losses_of_the_first_view(body, which, wanted):
    """Two people in two views, views fastest. The betas of the four rows are off by 1, 9, 3 and 5."""
    cfg = load_config(None, ['MULTIVIEW.SUPERVISED', which, 'LOSS.SHAPE_W', 1.0])
    off = torch.tensor([1., 9., 3., 5.])
    identity = torch.eye(3).expand(4, 24, 3, 3)
    betas = off[:, None].repeat(1, 10).requires_grad_()
    stage = Stage(identity, betas, torch.tensor([[0.9, 0, 0]]).repeat(4, 1), body, n_views=2)
    targets = Targets(torch.ones(4, 49, 3), torch.zeros(4, 24, 3), torch.zeros(4, 24, 4), torch.zeros(4),
                      torch.zeros(4, 72), torch.zeros(4, 10), torch.ones(4), body, n_views=2)
    regressor = SimpleNamespace(auxiliary_losses=lambda out, targets: {})
    losses = all_losses(regressor, RegressorOutput([stage]), targets, cfg)
    assert losses['betas'].item() == pytest.approx(wanted)
    gradient, = torch.autograd.grad(losses['keypoints_2d'], betas)
    assert gradient.abs().sum(1).gt(0).tolist() == [True, which == 'all', True, which == 'all']


def loop(standin_assets, body, *overrides):
    cfg = load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'SMPLIFY.USE_FITS', True, *overrides])
    return FitsInTheLoop(cfg, body, [SimpleNamespace(name='lsp-orig', annotations=range(16))])


def test_fits_of_the_first_view(standin_assets, body):
    """Rows 0, 2, 4, 6 are first views. Only their pictures get fits."""
    reference = load('spin_smplify')
    fits = loop(standin_assets, body, 'SMPLIFY.RUN', True, 'MULTIVIEW.SUPERVISED', 'first')
    out = estimate(reference, body)
    out.stages[0].n_views = 2
    targets = fits.targets(make_batch(reference), out, n_views=2)
    first = np.arange(16) % 2 == 0
    assert (fits.store.datasets[0].known == first & (np.arange(16) < 8)).all()
    assert targets.valid.tolist() == [True, False] * 4
    view = targets.view(0)
    assert view.n_views == 1 and torch.equal(view.pose, targets.pose[::2]) and view.valid.all()


# Fits

@pytest.mark.parametrize('on, threshold, counts', [
    ('mean', 2.1, True), ('mean', 1.9, False), ('sum', 98.1, True), ('sum', 97.9, False)])
def test_threshold_on_the_mean_or_on_the_sum(standin_assets, body, monkeypatch, on, threshold, counts):
    """A residual of 2 at each of 49 joints."""
    fits = loop(standin_assets, body, 'SMPLIFY.THRESHOLD_ON', on, 'SMPLIFY.THRESHOLD', threshold,
                'SMPLIFY.MIN_JOINTS', 0)
    fits.store.datasets[0].known[:] = True
    monkeypatch.setattr(fits.smplify, 'fitting_loss', lambda pose, *rest: torch.full((len(pose), 49), 2.0))
    reference = load('spin_smplify')
    assert fits.targets(make_batch(reference), estimate(reference, body)).valid.all() == counts


def test_residuals_need_no_pose_prior(standin_assets, body, monkeypatch):
    """Stored fits need no gmm_08.pkl; only new fits do."""
    monkeypatch.setattr('models.smplify.PosePrior', None)
    loop(standin_assets, body)
    with pytest.raises(TypeError):
        loop(standin_assets, body, 'SMPLIFY.RUN', True)


def seen_at(keypoints, **torso):
    center, translation = torch.full((1, 1, 2), 112.0), torch.tensor([[[0.0, 0.0, 50.0]]])
    return objective.observe(keypoints, center, translation, None, 5000.0, True, **torso), translation


def test_reprojection_in_crop_units():
    """5000 px at 50 m are 100 px a metre. A joint is 111.5 / 2 px beside its keypoint of confidence 0.5."""
    keypoints, joints = torch.zeros(1, 1, 49, 3), torch.zeros(1, 1, 49, 3)
    joints[..., 30, :2] = torch.tensor([0.1, -0.2])
    keypoints[..., 30, :] = torch.tensor([112 + 10 + 55.75, 112 - 20, 0.5])
    seen, translation = seen_at(keypoints)
    squared = 0.5 ** 2
    robust = 100 ** 2 * squared ** 2 / (100 ** 2 + squared ** 2)
    loss = objective.reprojection(joints, translation, seen, objective.Weights(normalized=True))
    assert float(loss[0, 0, 30]) == pytest.approx(0.5 * robust) and loss.sum() == loss[0, 0, 30]
    in_pixels = objective.reprojection(joints, translation, seen, objective.Weights())
    assert float(in_pixels.sum()) == pytest.approx(0.25 * 1e4 * 55.75 ** 2 / (1e4 + 55.75 ** 2), rel=1e-5)


def test_annotated_torso():
    """OpenPose's whole torso and two annotated joints are visible. The camera stage uses the annotated two."""
    names = ['right_hip', 'left_hip', 'right_shoulder', 'left_shoulder']
    annotated = [JOINT_NAMES.index(name) for name in names]
    keypoints = torch.zeros(1, 1, 49, 3)
    for name in names:
        keypoints[..., JOINT_NAMES.index(f'openpose_{name}'), :] = 1.0
    keypoints[..., annotated[:2], :] = torch.tensor([7.0, 8.0, 1.0])
    seen, _ = seen_at(keypoints, annotated_torso=True)
    assert seen.torso_index.flatten().tolist() == annotated
    assert seen.torso_weight.flatten().tolist() == [1, 1, 0, 0]
    assert (seen.torso[0, 0, :2] == torch.tensor([7., 8.])).all()
    assert not set(seen_at(keypoints)[0].torso_index.flatten().tolist()) & set(annotated)


def test_recipes_build_their_fits(standin_assets, body):
    """SPIN's recipe has no minimum of joints and uses annotated torsos. mmhuman3d's moves a body with two keypoints."""
    spin = build_smplify(load_config('spin.yaml', ['PATHS.DATA_DIR', str(standin_assets)]), body)
    assert (spin.method, spin.iterations, spin.min_joints, spin.torso) == ('adam', 100, 0, 'annotated')
    theirs = build_smplify(load_config('spin_mmhuman3d.yaml', ['PATHS.DATA_DIR', str(standin_assets)]), body)
    assert theirs.weights.normalized and theirs.iterations == 50
    reference = {name: torch.from_numpy(value[:2]) for name, value in load('spin_smplify').items() if len(value) > 1}
    inputs = [reference[f'init_{name}'] for name in ('pose', 'betas', 'cam_t')]
    keypoints = reference['keypoints_2d'].clone()
    keypoints[:, 2:, 2] = 0
    fit = theirs(*inputs, torch.full((2, 2), 112.0), keypoints)
    assert fit.valid.all() and torch.isfinite(fit.reprojection_loss).all()
    assert (fit.pose - inputs[0]).abs().max() > 1e-2 and (fit.camera_translation - inputs[2]).abs().max() > 1e-3


def test_only_adam_takes_crop_units(standin_assets):
    with pytest.raises(BadConfig, match='use METHOD adam'):
        build_smplify(load_config(None, ['PATHS.DATA_DIR', str(standin_assets), 'SMPLIFY.OBJECTIVE', 'normalized']))


# DaNet

@dataclass
class PlainStage:
    """A body whose vertices are the first entry of the first rotation plus the first of betas."""
    rotmat: torch.Tensor
    betas: torch.Tensor
    camera: torch.Tensor

    @property
    def vertices(self):
        return (self.rotmat[:, 0, 0, 0] + self.betas[:, 0])[:, None, None].expand(-1, 2, 3)


def test_danets_first_losses():
    """Two rows; the second has no target body."""
    without = ['MODEL.DANET.TARGET_KP_2D_W', 0.0, 'MODEL.DANET.TARGET_KP_3D_W', 0.0]
    options = load_config('danet_h36m_itw.yaml', without).MODEL.DANET
    zeros = {'rotmat': torch.zeros(2, 24, 3, 3), 'betas': torch.zeros(2, 10), 'camera': torch.zeros(2, 3)}
    targets = SimpleNamespace(**zeros, vertices=torch.zeros(2, 2, 3), valid=torch.tensor([1.0, 0.0]))
    targets.camera[1] = float('nan')
    before = PlainStage(zeros['rotmat'] + 0.25, zeros['betas'], torch.zeros(2, 3))
    last = PlainStage(zeros['rotmat'] - 0.5, zeros['betas'] + 2.0, torch.tensor([[0.1, -0.2, 0.3]]).repeat(2, 1))
    losses = target_losses([before, last], targets, options)
    assert {name: float(value) for name, value in losses.items()} == pytest.approx({
        'pose_l1_0': 10 * 0.25, 'pose_l1_1': 10 * 0.5, 'shape_camera_l1': 10 * (0.6 + 10 * 2.0) / 13,
        'target_mesh': 1.0 * (0.5 ** 2 + 2.0 ** 2)})
    assert target_losses([], targets, options) == {}
    assert target_losses([before, last], targets, load_config('danet.yaml').MODEL.DANET) == {}


def test_danets_reprojection_counts_in_sides_of_the_crop():
    """0.2 and 0.4 in [-1, 1] are 0.1 and 0.2 of a crop's side. One of 24 joints has confidence 0.5."""
    target = torch.ones(3, 49, 3)
    target[..., :2] = 0
    target[:, 48, 2] = 0.5
    predicted = torch.tensor([0.2, -0.4]).expand(3, 49, 2)
    loss = reprojection_loss(predicted, target, torch.tensor([1.0, 1.0, 0.0]))
    assert float(loss) == pytest.approx(23.5 * (0.1 + 0.2))
    assert reprojection_loss(predicted, target, torch.zeros(3)) == 0


def test_danets_joints_are_centred():
    """The body's offset of 1 m does not count. One joint of confidence 0.5 is off by 1, 2 and 3 cm."""
    joints, target = torch.ones(1, 49, 3), torch.zeros(1, 24, 4)
    joints[0, 25 + 9] += torch.tensor([0.01, -0.02, 0.03])
    target[..., 3] = 1.0
    target[0, 9, 3] = 0.5
    assert float(joints_loss(joints, target, torch.ones(1))) == pytest.approx(0.5 * 0.06, rel=1e-4)


def test_weights_of_annotated_points(standin_assets, monkeypatch):
    """The published keys: PART_WEIGHTS 0.3 for the 24 parts at points, INDEX_WEIGHTS 2 for the 14 segments."""
    regressor = quick(standin_assets).train()
    targets = targets_for(regressor, 2)
    targets.labels = {'dense_points': torch.zeros(2, 196, 5), 'dense_segments': None}
    monkeypatch.setattr(danet, 'dense_point_losses', lambda *_: dict.fromkeys(('index', 'u', 'v', 'segment'), 1.0))
    losses = danet.danet_losses(regressor(torch.randn(2, 3, 64, 64)), targets, load_config('danet.yaml'))
    found = {name: value for name, value in losses.items() if name.startswith('points_')}
    # U and V: 0.5 on the sum over 16 pictures; here the loss is divided by 16.
    assert found == {'points_index': 0.3, 'points_segment': 2.0, 'points_u': 0.5 * 16, 'points_v': 0.5 * 16}


def test_free_danet_weighs_points_as_rendered_iuv():
    """Its weights of annotated points equal those of rendered IUV."""
    cfg = load_config('free/danet_quick.yaml')
    options, weights = cfg.MODEL.DANET, cfg.LOSS
    assert (options.POINT_INDEX_W, options.POINT_SEGMENT_W, options.POINT_UV_W) == (
        weights.INDEX_WEIGHTS, weights.PART_WEIGHTS, weights.POINT_REGRESSION_WEIGHTS)


def test_danets_first_recipe_trains(standin_assets):
    """Its losses are finite and have gradients for pose, shape and camera."""
    ours = [f'MODEL.DANET.{key}_W' for key in ('POSE_L1', 'SHAPE_CAMERA_L1', 'TARGET_MESH', 'TARGET_KP_2D',
                                               'TARGET_KP_3D')]
    theirs = [f'LOSS.{key}_W' for key in ('KP_2D', 'KP_3D', 'POSE', 'SHAPE', 'CAM')]
    regressor = quick(standin_assets, *[item for key in ours for item in (key, 1.0)],
                      *[item for key in theirs for item in (key, 0.0)])
    regressor.train().set_training_progress(10)
    out = regressor(torch.randn(4, 3, 64, 64))
    losses = all_losses(regressor, out, targets_for(regressor, 4), regressor.cfg)
    named = {'pose_l1_0', 'pose_l1_1', 'shape_camera_l1', 'target_keypoints_2d', 'target_keypoints_3d', 'target_mesh'}
    assert named <= set(losses) and all(torch.isfinite(losses[name]) and losses[name] > 0 for name in named)
    for name, reached in (('target_keypoints_2d', (True, False, False)), ('shape_camera_l1', (False, True, True)),
                          ('target_mesh', (True, True, False))):
        gradients = torch.autograd.grad(losses[name], (out.final.rotmat, out.final.betas, out.final.camera),
                                        retain_graph=True, allow_unused=True)
        assert tuple(g is not None and bool(g.abs().sum() > 0) for g in gradients) == reached, name
