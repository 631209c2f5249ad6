"""Data that make losses infinite, and derivatives compared with finite differences in double precision."""
import copy
import json
import shutil

import numpy as np
import pytest
import torch
from accelerate.optimizer import AcceleratedOptimizer
from torch.autograd import gradcheck

from core.training.trainer import Trainer
from models import losses
from models.body import BodyModel
from models.danet import losses as danet_losses
from models.smplify import objective
from models.smplify.objective import Weights
from models.smplify.priors import PosePrior, angle_prior
from models.smplify.sparse_body import SparseBody, left_jacobian
from models.smplify.stages import BodyStage, CameraStage
from tests.test_smplify import two_views
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils import geometry
from utils.errors import BadConfig, ProjectError
from utils.iuv_maps import dense_iuv_losses
from utils.rasterizer import barycentrics_of, interpolate, rasterize

pytestmark = pytest.mark.usefixtures('without_panels')

# float32 can represent this number, but not its square.
HUGE = 1e30


def assets_with_huge_joints(standin_assets, folder, rows):
    """Assets whose training set has finite 3D joints of 1e30 metres in some rows."""
    assets = shutil.copytree(standin_assets, folder, symlinks=True)
    write_tiny_dataset(assets, 'tiny', 'val', count=6, seed=1)
    path = write_tiny_dataset(assets, 'tiny', 'train')
    arrays = dict(np.load(path))
    arrays['S'][rows, 0, 0] = HUGE
    np.savez(path, **arrays)
    return assets


def test_an_infinite_loss_out_of_the_data_skips_its_steps(standin_assets, tmp_path):
    assets = assets_with_huge_joints(standin_assets, tmp_path / 'assets', [3])
    trainer = Trainer(tiny_config(assets, tmp_path, 'TRAIN.MAX_BAD_STEPS', 2, 'TRAIN.NUM_EPOCHS', 1,
                                  regressor='hmr'))
    trainer.fit()
    progress = trainer.state.progress
    # The row is in one batch of three.
    assert progress.global_step == 3 and progress.skipped_steps == 1
    assert all(torch.isfinite(value).all() for value in trainer.state.state_dict()['model'].values())
    assert all(torch.isfinite(value).all() for state in trainer.optimizer.state_dict()['state'].values()
               for value in state.values())


def test_infinite_losses_in_a_row_stop_and_name_the_pictures(standin_assets, tmp_path):
    assets = assets_with_huge_joints(standin_assets, tmp_path / 'assets', slice(None))
    trainer = Trainer(tiny_config(assets, tmp_path, 'TRAIN.MAX_BAD_STEPS', 3, regressor='hmr'))
    before = copy.deepcopy(trainer.regressor.state_dict())
    with pytest.raises(ProjectError, match='3 losses in a row .*bad_batch.json') as raised:
        trainer.fit()
    assert '\n' not in str(raised.value)
    named = json.loads((trainer.folder.path / 'bad_batch.json').read_text())
    assert len(named['images']) == 4 and all(str(assets / 'datasets/tiny') in path for path in named['images'])
    learned = dict(trainer.regressor.named_parameters())
    assert all(torch.equal(before[name], value) for name, value in learned.items())


def scale_losses(trainer, scale):
    """Give a run on the CPU accelerate's float16 and its scaler of losses, as on CUDA."""
    accelerator = trainer.accelerator
    accelerator.scaler = torch.amp.GradScaler('cpu', init_scale=scale)
    accelerator.native_amp, accelerator.state._mixed_precision = True, 'fp16'
    trainer.optimizer = AcceleratedOptimizer(trainer.optimizer.optimizer, scaler=accelerator.scaler)
    accelerator._optimizers = [trainer.optimizer]
    return accelerator.scaler


def test_an_overflow_of_fp16_is_no_fault(standin_assets, tmp_path):
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=4, seed=1)
    trainer = Trainer(tiny_config(standin_assets, tmp_path, 'TRAIN.MAX_BAD_STEPS', 1, 'DATA.IMG_RES', 32,
                                  regressor='hmr'))
    scaler = scale_losses(trainer, 2.0 ** 12)
    before = copy.deepcopy(dict(trainer.regressor.named_parameters()))
    trainer.fit()
    assert scaler.get_scale() < 2.0 ** 12  # some steps overflowed and were skipped
    assert trainer.state.progress.global_step == 6 and trainer.state.progress.skipped_steps == 0
    learned = dict(trainer.regressor.named_parameters())
    assert any(not torch.equal(before[name], value) for name, value in learned.items())  # others were taken
    assert all(torch.isfinite(value).all() for value in learned.values())


def test_fp16_without_cuda_is_refused(standin_assets, tmp_path):
    with pytest.raises(BadConfig, match='fp16, which needs a CUDA device'):
        Trainer(tiny_config(standin_assets, tmp_path, 'TRAIN.MIXED_PRECISION', 'fp16', regressor='hmr'))


def double(*shape, seed=0, scale=1.0):
    values = scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_()


@pytest.fixture
def stays_double(monkeypatch):
    """Losses on dense maps convert to float32; this keeps double precision."""
    monkeypatch.setattr(torch.Tensor, 'float', lambda self: self)


def check(function, *inputs, **options):
    assert gradcheck(function, inputs, **{'eps': 1e-6, 'atol': 1e-5, **options})


def test_rotations():
    check(geometry.rot6d_to_rotmat, double(4, 6))
    check(geometry.axis_angle_to_rotmat, double(3, 72))
    small = (1e-3 * double(5, 3).detach()).requires_grad_()
    check(geometry.axis_angle_to_rotmat, small)
    near_half_turn = torch.nn.functional.normalize(double(5, 3).detach(), dim=-1) * 3.1
    check(geometry.axis_angle_to_rotmat, near_half_turn.requires_grad_())
    # Finite differences stay on rotations.
    check(lambda value: geometry.rotmat_to_axis_angle(geometry.axis_angle_to_rotmat(value)), double(6, 3))
    check(lambda value: geometry.rotmat_to_rot6d(geometry.rot6d_to_rotmat(value)), double(6, 6))


def test_rotations_have_finite_gradients_where_they_are_singular():
    for vector in (torch.zeros(1, 3), torch.tensor([[torch.pi, 0, 0]]), torch.full((1, 3), 1e-12)):
        vector = vector.double().requires_grad_()
        gradient, = torch.autograd.grad(geometry.axis_angle_to_rotmat(vector).sum(), vector)
        assert torch.isfinite(gradient).all()
    identity = torch.eye(3, dtype=torch.float64)[None].requires_grad_()
    gradient, = torch.autograd.grad(geometry.rotmat_to_axis_angle(identity).sum(), identity)
    assert torch.isfinite(gradient).all()


def test_projection():
    points, camera = double(2, 7, 3, scale=.3), torch.tensor([[.9, .1, -.1], [.7, 0, .2]]).double().requires_grad_()
    check(geometry.camera_to_translation, camera, eps=1e-7)
    check(geometry.translation_to_camera, geometry.camera_to_translation(camera).detach().requires_grad_())
    check(geometry.project, points, camera)
    center = torch.full((2, 2), 112.0).double().requires_grad_()
    translation = torch.tensor([[0, 0, 40.0], [.3, -.2, 55.0]]).double().requires_grad_()
    check(lambda p, t, c: geometry.perspective_projection(p, t, 5000.0, c), points, translation, center, atol=1e-4)
    check(geometry.similarity_align, double(2, 9, 3), double(2, 9, 3, seed=1))


@pytest.mark.parametrize('criterion', ['mse', 'smooth_l1', 'l1'])
def test_keypoint_losses(criterion):
    confidence = (torch.arange(49) % 3).double().view(1, 49, 1).expand(3, -1, -1) / 2
    target_2d = torch.cat([double(3, 49, 2, seed=1).detach(), confidence], -1)
    target_3d = torch.cat([double(3, 24, 3, seed=2).detach(), confidence[:, :24]], -1)
    check(lambda value: losses.keypoint_2d_loss(value, target_2d, .5, 2., criterion), double(3, 49, 2))
    check(lambda value: losses.keypoint_3d_loss(value, target_3d, torch.tensor([True, False, True]), criterion),
          double(3, 49, 3))


def test_body_losses():
    valid = torch.tensor([True, False, True])
    check(lambda value: losses.pose_loss(value, double(3, 24, 3, 3, seed=1).detach(), valid), double(3, 24, 3, 3))
    check(lambda value: losses.betas_loss(value, double(3, 10, seed=1).detach(), valid), double(3, 10))
    check(lambda value: losses.vertex_loss(value, double(3, 20, 3, seed=1).detach(), valid), double(3, 20, 3))
    check(lambda value: losses.camera_loss(value), double(3, 3, scale=.1))
    check(lambda value: losses.masked_mean(value, valid), double(3, 4, 2))


def test_dense_losses(stays_double):
    iuv = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    valid = torch.tensor([True, False])
    for name in ('index', 'u', 'v', 'part'):
        check(lambda index, u, v, ann, name=name: dense_iuv_losses(index, u, v, ann, iuv, valid)[name],
              *(double(2, 25, 4, 4, seed=seed) for seed in range(3)), double(2, 15, 4, 4, seed=3),
              fast_mode=True)


def test_losses_of_parts(stays_double):
    wanted = torch.cat([double(2, 24, 2, seed=1).detach(), torch.ones(2, 24, 1).double()], -1)
    check(lambda value: danet_losses.center_loss(value, wanted), double(2, 24, 2))
    check(lambda value: danet_losses.position_loss(value, wanted, torch.tensor([True, False])), double(2, 24, 3))
    check(danet_losses.orthogonality_loss, double(2, 144))


def test_rasterized_barycentrics_and_depth():
    pixels = torch.tensor([[[1.2, 1.1, 2.0], [9.3, 2.2, 2.5], [4.1, 9.6, 3.0], [9.5, 9.2, 1.5]]]).double()
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    index, _, _ = rasterize(pixels, faces, 10, 10)
    assert (index >= 0).sum() > 30
    pixels.requires_grad_()
    check(lambda value: barycentrics_of(value, faces, index), pixels)
    check(lambda value: interpolate(double(4, 2, seed=1).detach(), faces, index,
                                    barycentrics_of(value, faces, index)[0]), pixels)


@pytest.fixture(scope='module')
def fitted(standin_assets):
    """(sparse body, pose prior) in double precision, without pose blend shapes, as in the Jacobian."""
    body = SparseBody(BodyModel(standin_assets)).double()
    body.moment_by_pose.zero_()
    return body, PosePrior(standin_assets / 'gmm_08.pkl').double()


def test_priors(fitted):
    prior = fitted[1]
    check(prior, double(2, 69, scale=.3), atol=1e-4)
    check(angle_prior, double(3, 69, scale=.3))
    pose = double(2, 69, scale=.3)
    value, gradient, hessian = prior.quadratic(pose)
    by_autograd, = torch.autograd.grad(prior(pose).sum(), pose)
    assert torch.allclose(gradient, by_autograd, rtol=1e-9)
    by_autograd = torch.autograd.functional.hessian(lambda value: prior(value[None])[0], pose[0])
    assert torch.allclose(hessian[0], by_autograd, rtol=1e-9)


def test_turning_by_the_left_jacobian():
    at = double(4, 3)
    rotmat, jacobian = geometry.axis_angle_to_rotmat(at), left_jacobian(at)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-7
        change = (geometry.axis_angle_to_rotmat(at + step) @ rotmat.transpose(-1, -2) - torch.eye(3)) / 1e-7
        turned = torch.stack([change[:, 2, 1], change[:, 0, 2], change[:, 1, 0]], -1)
        assert torch.allclose(turned, jacobian[:, :, axis], atol=1e-6)


@pytest.mark.parametrize('calibrated', [False, True])
@pytest.mark.parametrize('kind', ['camera', 'body'])
def test_the_objective_of_a_fit(fitted, kind, calibrated):
    """Autograd's gradient of the cost equals finite differences, and the analytic gradient equals autograd's."""
    body, prior = fitted
    state, seen = two_views(body, calibrated)
    stage = CameraStage(body, seen, Weights()) if kind == 'camera' else BodyStage(
        body, seen, Weights(), prior, state.body_pose + 0.1, 50.0)
    at = stage.evaluate(state)
    written, _ = stage.linearize(at)
    step = torch.zeros_like(written).requires_grad_()
    by_autograd, = torch.autograd.grad(stage.moved(at, step).cost.sum(), step)
    assert torch.allclose(2 * written, by_autograd, rtol=1e-6, atol=1e-6 * by_autograd.abs().max().item())
    scale = by_autograd.abs().max()
    check(lambda value: stage.moved(at, value).cost / scale, (1e-3 * double(*step.shape).detach()).requires_grad_(),
          fast_mode=True)


def test_robust_reprojection(fitted):
    _, seen = two_views(fitted[0], False)
    joints, translation = double(3, 2, 49, 3, scale=.3), torch.tensor([0, .2, 50.]).double().expand(3, 2, 3).clone()
    check(lambda value: objective.robust(value, 100.0), double(20, scale=50))
    check(lambda points, moved: objective.reprojection(points, moved, seen, objective.Weights()) / 1e4, joints,
          translation.requires_grad_(), fast_mode=True)
