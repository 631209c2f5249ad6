"""State and files of a run: averaged weights, samples, rollbacks, overwriting, validation, precision."""
import os
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from core.config import load_config
from core.config.training_options import parse_training_options
from core.training.averaging import WeightAverage
from core.training.trainer import Trainer
from core.training.training_state import Progress
from datasets.annotations import Annotations
from datasets.body_samples import read_body_samples
from models import build_regressor
from models.hmr import HMR
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile, ProjectError
from utils.torch_io import load_torch, save_torch

pytestmark = pytest.mark.usefixtures('without_panels')


def hmr(tiny_assets, folder, *overrides):
    return tiny_config(tiny_assets, folder, 'TRAIN.NUM_EPOCHS', 1, *overrides, regressor='hmr')


@pytest.fixture(scope='module')
def three_steps(tiny_assets, tmp_path_factory):
    """Folder of a whole run of three steps, with a checkpoint of each step."""
    folder = tmp_path_factory.mktemp('three_steps')
    Trainer(hmr(tiny_assets, folder, 'TRAIN.CHECKPOINT_STEPS', 1, 'TRAIN.KEEP_CHECKPOINTS', 9)).fit()
    return folder / 'run'


@pytest.fixture
def finished(three_steps, tmp_path):
    """LOG_DIR with a copy of that run, which the test may change."""
    shutil.copytree(three_steps, tmp_path / 'run')
    return tmp_path


def checkpoints(folder):
    return sorted(path.name for path in (folder / 'run' / 'checkpoints').glob('*.pt'))


def test_average_of_weights_by_hand():
    """Decay (1 + n) / (10 + n) until 0.25 is reached: copy, 2/11, 3/12, 0.25."""
    layer = nn.Sequential(nn.Linear(1, 1, bias=False))
    layer.register_buffer('faces', torch.tensor([8095]))
    average = WeightAverage(layer, 0.25)
    wanted = None
    for n, value in enumerate((4.0, 8.0, 2.0, 6.0)):
        with torch.no_grad():
            layer[0].weight.fill_(value)
        layer.faces.fill_(8095 + n)
        average.update(layer)
        decay = (0, 2 / 11, 0.25, 0.25)[n]
        wanted = value if wanted is None else decay * wanted + (1 - decay) * value
        assert average.module[0].weight.item() == pytest.approx(wanted, rel=1e-6)
        assert average.module.faces.item() == 8095 + n


def test_an_averaged_network_keeps_the_body(tiny_assets, tmp_path):
    trainer = Trainer(tiny_config(tiny_assets, tmp_path, 'TRAIN.EMA', 0.9999, 'TRAIN.NUM_EPOCHS', 1))
    faces = trainer.regressor.body.faces.clone()
    trainer.fit()
    averaged = trainer.state.best_weights
    assert averaged is not trainer.regressor and torch.equal(averaged.body.faces, faces)
    stored = dict(averaged.named_buffers())
    for name, buffer in trainer.regressor.named_buffers():
        assert torch.equal(stored[name], buffer), name


def test_an_adversary_trains_in_the_same_step_and_resumes_bit_for_bit(tiny_assets, tmp_path):
    np.savez(tmp_path / 'mocap.npz', body_pose=np.random.default_rng(0).normal(0, .3, (40, 69)).astype(np.float32),
             betas=np.zeros((40, 10), np.float32))
    options = ['ADVERSARY.WEIGHT', 0.1, 'ADVERSARY.SAMPLES', str(tmp_path / 'mocap.npz'), 'TRAIN.CHECKPOINT_STEPS', 1]
    whole = Trainer(hmr(tiny_assets, tmp_path / 'whole', *options))
    start = {name: value.clone() for name, value in whole.adversary.discriminator.named_parameters()}
    whole.fit()
    assert all(not torch.equal(value, start[name])
               for name, value in whole.adversary.discriminator.named_parameters() if 'weight' in name)
    Trainer(hmr(tiny_assets, tmp_path / 'cut', *options, 'TRAIN.MAX_STEPS', 1)).fit()
    Trainer(hmr(tiny_assets, tmp_path / 'cut', *options, 'TRAIN.RESUME', True)).fit()
    one, other = (load_torch(tmp_path / name / 'run/checkpoints/latest.pt') for name in ('whole', 'cut'))
    for part in (('model',), ('adversary', 'discriminator')):
        a, b = one, other
        for key in part:
            a, b = a[key], b[key]
        assert all(torch.equal(value, b[name]) for name, value in a.items()), part
    with pytest.raises(BadConfig, match='PyMAF has no adversary'):
        Trainer(tiny_config(tiny_assets, tmp_path / 'pymaf', 'ADVERSARY.WEIGHT', 0.1))


def test_overwriting_clears_when_the_first_checkpoint_is_written(tiny_assets, finished, tmp_path):
    before = checkpoints(tmp_path)
    trainer = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.OVERWRITE', True, 'SEED', 5, 'TRAIN.MAX_STEPS', 2))
    assert checkpoints(tmp_path) == before and load_config(tmp_path / 'run/config.yaml').SEED == 0
    trainer.fit()
    assert checkpoints(tmp_path) == ['best.pt', 'latest.pt', 'step_00000002.pt']
    assert load_config(tmp_path / 'run/config.yaml').SEED == 5
    assert events(tmp_path) == [1, 2]
    best = tmp_path / 'run/checkpoints/best.pt'
    with pytest.raises(ProjectError, match='best.pt: is in the run that --overwrite would delete'):
        Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.OVERWRITE', True, 'TRAIN.PRETRAINED_CHECKPOINT', str(best)))
    assert best.exists()


def events(folder):
    """Steps of the total loss in a run's TensorBoard files."""
    accumulator = EventAccumulator(str(folder / 'run' / 'tensorboard'))
    accumulator.Reload()
    return [event.step for event in accumulator.Scalars('losses/total')]


def test_a_failed_set_up_leaves_the_old_run_alone(tiny_assets, finished, tmp_path):
    before = checkpoints(tmp_path)
    with pytest.raises(BadConfig, match='ADVERSARY.SAMPLES'):
        Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.OVERWRITE', True, 'ADVERSARY.WEIGHT', 1.0))
    assert checkpoints(tmp_path) == before


def test_rolling_back_keeps_both_branches(tiny_assets, finished, tmp_path):
    first = tmp_path / 'run/checkpoints/step_00000001.pt'
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.CHECKPOINT', str(first), 'TRAIN.MAX_STEPS', 2, 'SOLVER.BASE_LR',
                .01)).fit()
    assert checkpoints(tmp_path) == ['best.pt', 'latest.pt', 'step_00000001.pt', 'step_00000002.pt']
    abandoned = tmp_path / 'run/checkpoints/abandoned_1'
    assert sorted(path.name for path in abandoned.iterdir()) == ['best.pt', 'step_00000002.pt', 'step_00000003.pt']
    name, (new, old) = 'head.decpose.weight', (folder / 'step_00000002.pt' for folder in (first.parent, abandoned))
    resumed = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME', True)).regressor.state_dict()[name]
    assert torch.equal(resumed, load_torch(new)['model'][name])
    assert not torch.equal(resumed, load_torch(old)['model'][name])


def test_a_resumed_run_does_not_roll_back_again(finished, tmp_path):
    folder = tmp_path / 'run' / 'checkpoints'
    back, _ = parse_training_options(['--checkpoint', str(folder / 'step_00000001.pt'),
                                      '--misc', 'TRAIN.MAX_STEPS', '2'])
    Trainer(back).fit()
    again, _ = parse_training_options(['--log_dir', str(tmp_path), '--name', 'run', '--resume'])
    assert Trainer(again).state.progress.global_step == 2


def test_a_rollback_before_the_best_sets_it_aside_too(tiny_assets, finished, tmp_path):
    first = tmp_path / 'run/checkpoints/step_00000001.pt'
    best = load_torch(first.with_name('best.pt'))['global_step']
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.CHECKPOINT', str(first), 'TRAIN.MAX_STEPS', 2, 'DATA.EVAL_DATASET',
                '')).fit()
    assert best == 3 and load_torch(first.parent / 'abandoned_1' / 'best.pt')['global_step'] == 3
    assert not first.with_name('best.pt').exists()


def test_a_checkpoint_does_not_choose_where_its_run_is_written(tiny_assets, tmp_path):
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 1)).fit()
    content = load_torch(tmp_path / 'run/checkpoints/latest.pt')
    content['config'] = content['config'].replace('NAME: run', f'NAME: {tmp_path}/elsewhere')
    save_torch(tmp_path / 'other/checkpoints/x.pt', content)
    cfg, _ = parse_training_options(['--checkpoint', str(tmp_path / 'other/checkpoints/x.pt')])
    assert (str(tmp_path), 'other') == (cfg.LOG_DIR, cfg.NAME)
    save_torch(tmp_path / 'x.pt', content)
    with pytest.raises(BadConfig, match='--name'):
        parse_training_options(['--checkpoint', str(tmp_path / 'x.pt')])
    with pytest.raises(BadConfig, match='below LOG_DIR'):
        parse_training_options(['--regressor', 'hmr', '--name', '../x'])


def test_parameters_of_no_group_get_no_gradients(tiny_assets, tmp_path, monkeypatch):
    """Otherwise their gradients would accumulate, count in the clipped norm, and be lost on resuming."""
    monkeypatch.setattr(HMR, 'param_groups', lambda self, cfg: [{'params': list(self.head.parameters())}])
    options = ['SOLVER.GRAD_CLIP', 0.01]
    whole = Trainer(hmr(tiny_assets, tmp_path / 'whole', *options))
    whole.fit()
    assert all(parameter.grad is None for parameter in whole.regressor.backbone.parameters())
    Trainer(hmr(tiny_assets, tmp_path / 'cut', *options, 'TRAIN.MAX_STEPS', 1)).fit()
    Trainer(hmr(tiny_assets, tmp_path / 'cut', *options, 'TRAIN.RESUME', True)).fit()
    one, other = (load_torch(tmp_path / name / 'run/checkpoints/latest.pt')['model'] for name in ('whole', 'cut'))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize('form', ['hmr2', 'body', 'amass', 'smpl'])
def test_forms_of_body_samples(tmp_path, form):
    """The pose of joint j of 23 is (j, j, j) in every form. 4D-Humans' file starts with the root."""
    joints = np.repeat(np.arange(23, dtype=np.float32), 3)
    root, hands = np.full(3, 99, np.float32), np.full(84, 7, np.float32)
    row = {'hmr2': np.concatenate([root, joints]), 'body': joints, 'smpl': np.concatenate([root, joints]),
           'amass': np.concatenate([root, joints[:63], hands])}[form]
    key = 'poses' if form in ('amass', 'smpl') else 'body_pose'
    np.savez(tmp_path / 'x.npz', **{key: np.tile(row, (4, 1)), 'betas': np.ones((1 if form == 'amass' else 4, 10))})
    pose, betas = read_body_samples(tmp_path / 'x.npz')
    wanted = np.concatenate([joints[:63], np.zeros(6)]) if form == 'amass' else joints
    assert np.array_equal(pose, np.tile(wanted, (4, 1))) and np.array_equal(betas, np.ones((4, 10)))


def test_the_config_of_a_rollback_is_the_checkpoints(tiny_assets, tmp_path):
    Trainer(hmr(tiny_assets, tmp_path, 'SOLVER.WEIGHT_DECAY', 0.125, 'TRAIN.MAX_STEPS', 1)).fit()
    path = tmp_path / 'run/checkpoints/latest.pt'
    cfg, _ = parse_training_options(['--checkpoint', str(path), '--batch_size', '2'])
    assert cfg.MODEL.REGRESSOR == 'hmr' and cfg.SOLVER.WEIGHT_DECAY == 0.125 and cfg.TRAIN.BATCH_SIZE == 2
    assert (str(tmp_path), 'run') == (cfg.LOG_DIR, cfg.NAME)
    save_torch(tmp_path / 'weights.pt', {'conv1.weight': torch.zeros(1), 'fc1.weight': torch.zeros(1)})
    with pytest.raises(BadFile, match='--pretrained_checkpoint'):
        parse_training_options(['--checkpoint', str(tmp_path / 'weights.pt')])


def test_a_run_needs_as_many_samples_as_a_batch(tiny_assets, tmp_path):
    with pytest.raises(BadConfig, match='an epoch has 12 samples, fewer than the 16 of one step'):
        Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.BATCH_SIZE', 16))


def test_datasets_without_usable_labels_are_logged_and_a_mixture_of_them_is_an_error(tiny_assets, tmp_path, caplog):
    folder = tiny_assets / 'dataset_extras'
    labels = Annotations.load(folder / 'tiny_train.npz')
    labels.keypoints_2d[..., 2] = 0
    labels.has_smpl[:], labels.has_joints_3d[:] = False, False
    labels.save(folder / 'unlabelled_train.npz')
    images = str(tiny_assets / 'datasets' / 'tiny')
    options = ('PATHS.IMAGE_DIRS', [f'unlabelled={images}'])
    Trainer(hmr(tiny_assets, tmp_path, 'DATA.MIXTURE', ['unlabelled:1', 'tiny:1'], *options))
    assert 'unlabelled_train.npz: no row has a label' in caplog.text and 'remove it from DATA.MIXTURE' in caplog.text
    with pytest.raises(BadFile, match='unlabelled_train.npz: no row has a label') as caught:
        Trainer(hmr(tiny_assets, tmp_path, 'DATA.MIXTURE', ['unlabelled:1'], *options))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('part, options', [(None, ()), (np.nan, ()), (None, ('SMPLIFY.RUN', True))])
def test_own_pictures_without_keypoints_are_an_error(tiny_assets, tmp_path, part, options):
    """A file of a user: no `part`, or NaN in all of them."""
    path = tmp_path / 'mine.npz'
    names = [f'train_{row}.jpg' for row in range(12)]
    points = {} if part is None else {'part': np.full((12, 24, 3), part)}
    np.savez(path, imgname=names, center=np.full((12, 2), 48.), scale=np.full(12, .48), **points)
    with pytest.raises(BadFile, match=r'mine\.npz: no row has a label'):
        Trainer(hmr(tiny_assets, tmp_path, 'DATA.MIXTURE', [f'{path}:1'], 'PATHS.IMAGE_DIRS',
                    [f'mine={tiny_assets / "datasets/tiny"}'], *options))


@pytest.mark.parametrize('key, options, advice', [
    ('openpose', (), 'LOSS.OPENPOSE_TRAIN_WEIGHT is 0'),
    ('part', ('LOSS.GT_TRAIN_WEIGHT', 0.0), 'LOSS.GT_TRAIN_WEIGHT'),
    ('S', ('DATA.IGNORE_3D', True), 'DATA.IGNORE_3D')])
def test_labels_that_the_config_leaves_out_are_named(tiny_assets, tmp_path, key, options, advice):
    label = {'openpose': np.ones((12, 25, 3)), 'part': np.ones((12, 24, 3)), 'S': np.ones((12, 24, 4))}[key]
    path = tmp_path / 'mine.npz'
    np.savez(path, imgname=[f'train_{row}.jpg' for row in range(12)], center=np.full((12, 2), 48.),
             scale=np.full(12, .48), **{key: label})
    with pytest.raises(BadFile, match=advice):
        Trainer(hmr(tiny_assets, tmp_path, 'DATA.MIXTURE', [f'{path}:1'], 'PATHS.IMAGE_DIRS',
                    [f'mine={tiny_assets / "datasets/tiny"}'], *options))


@pytest.mark.parametrize('first, steps, then', [(4, 1, 2), (2, 2, 4), (4, 1, 8)])
def test_a_run_resumed_with_another_batch_size_sees_each_sample_once(tiny_assets, tmp_path, monkeypatch, first, steps,
                                                                            then):
    seen = []
    step = Trainer._step

    def record(self, batch, n_views):
        seen.extend(batch['sample_index'].tolist())
        return step(self, batch, n_views)

    monkeypatch.setattr(Trainer, '_step', record)
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.BATCH_SIZE', first, 'TRAIN.MAX_STEPS', steps)).fit()
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.BATCH_SIZE', then, 'TRAIN.RESUME', True)).fit()
    assert sorted(seen) == list(range(12))


def test_progress_of_a_checkpoint_that_counts_batches():
    content = {'epoch': 3, 'batches_done': 5, 'earlier': [[2, 3]], 'global_step': 7, 'best': 80.0, 'bad_steps': 0,
               'skipped_steps': 1, 'config': 'TRAIN: {BATCH_SIZE: 16}'}
    progress = Progress.of_checkpoint(content)
    assert (progress.samples_done, progress.earlier, progress.samples_of_all(1)) == (80, [[2, 48]], 176)


@pytest.mark.parametrize('name', ['', 'absent'])
def test_training_without_validation_data(tiny_assets, tmp_path, name):
    assert Trainer(hmr(tiny_assets, tmp_path, 'DATA.EVAL_DATASET', name)).fit() is None
    assert checkpoints(tmp_path) == ['latest.pt', 'step_00000003.pt']


def test_best_weights_are_not_chosen_on_a_test_set(tiny_assets, tmp_path):
    write_tiny_dataset(tiny_assets, 'exam', 'test', count=6, seed=1)
    images = ['PATHS.IMAGE_DIRS', [f'exam={tiny_assets / "datasets" / "exam"}'], 'DATA.EVAL_DATASET', 'exam']
    assert Trainer(hmr(tiny_assets, tmp_path / 'a', *images)).fit() is not None
    assert 'best.pt' not in checkpoints(tmp_path / 'a')
    Trainer(hmr(tiny_assets, tmp_path / 'b', *images, 'TRAIN.SELECT_ON_TEST', True)).fit()
    assert 'best.pt' in checkpoints(tmp_path / 'b')


def test_validation_within_an_epoch_keeps_the_best(tiny_assets, tmp_path):
    trainer = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.TEST_STEPS', 1, 'TRAIN.MAX_STEPS', 2))
    scores = iter([50.0, 90.0, 95.0])
    validate = trainer._validate

    def scored():
        evaluation = validate()
        evaluation.errors['pa_mpjpe'][:] = next(scores)
        return evaluation

    trainer._validate = scored
    trainer.fit()
    assert load_torch(tmp_path / 'run/checkpoints/best.pt')['global_step'] == 1


def test_a_file_system_without_links(tiny_assets, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, 'Operation not supported')
    monkeypatch.setattr(os, 'link', refuse)
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 2)).fit()
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME', True)).fit()  # completes the links of the last checkpoint too
    assert checkpoints(tmp_path) == ['best.pt', 'latest.pt', 'step_00000002.pt', 'step_00000003.pt']


def test_a_resumed_run_hides_later_entries_of_the_stopped_one(tiny_assets, tmp_path):
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.CHECKPOINT_STEPS', 1, 'TRAIN.MAX_STEPS', 3)).fit()
    for name in ('step_00000002.pt', 'step_00000003.pt', 'latest.pt', 'best.pt'):
        (tmp_path / 'run/checkpoints' / name).unlink()
    Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.RESUME', True)).fit()
    assert all(later > earlier for earlier, later in pairwise(events(tmp_path)))


def test_bodies_and_sampling_points_are_computed_in_float32(tiny_assets, tmp_path):
    regressor = build_regressor(tiny_config(tiny_assets, tmp_path)).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    points = []
    for sampler in regressor.point_features:
        sampler.register_forward_pre_hook(lambda _, given: points.append(given[1]))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        out = regressor(images)
        stages = [(stage, stage.vertices, stage.joints, stage.keypoints_2d) for stage in out.stages[1:]]
    for number, (stage, vertices, joints, keypoints) in enumerate(stages, 1):
        body = regressor.body(stage.betas.double().float(), stage.rotmat)
        assert torch.equal(vertices, body.vertices) and torch.equal(joints, body.joints), number
        assert vertices.dtype == keypoints.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in points)
    exact = stages[0][0].points(regressor.mesh_points)
    depth = 2 * 5000 / (224 * stages[0][0].camera[:, 0] + 1e-9)
    moved = exact + torch.stack([stages[0][0].camera[:, 1], stages[0][0].camera[:, 2], depth], -1)[:, None]
    assert torch.allclose(points[1], 5000 / 112 * moved[..., :2] / moved[..., 2:], atol=1e-5)


def test_validation_is_in_float32(tiny_assets, tmp_path):
    trainer = Trainer(hmr(tiny_assets, tmp_path, 'TRAIN.MIXED_PRECISION', 'bf16'))
    plain = build_regressor(trainer.cfg).eval()
    plain.load_state_dict(trainer.state.best_weights.state_dict())
    plain.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(trainer.state.best_weights.eval()(images).final.rotmat, plain(images).final.rotmat)


def test_apples_gpu_is_not_used_and_a_line_says_so(tiny_assets, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: True)
    trainer = Trainer(hmr(tiny_assets, tmp_path, 'DEVICE', 'auto'))
    assert trainer.accelerator.device.type == 'cpu' and "Apple's GPU" in caplog.text


def test_a_run_goes_on_in_another_memory_layout(tiny_assets, tmp_path):
    """Fused Adam reads weights, gradients and moments in the order of memory, whatever their strides say."""
    options = ('SOLVER.ACCUMULATE', 2, 'TRAIN.CHECKPOINT_STEPS', 1, 'TRAIN.KEEP_CHECKPOINTS', 9, 'TRAIN.NUM_EPOCHS', 2)
    ways = []
    for name, layouts in (('as_begun', (False, False)), ('changed', (False, True))):
        for steps, channels_last in zip((3, 4), layouts):  # three: moments and half a step's gradients are saved
            trainer = Trainer(hmr(tiny_assets, tmp_path / name, *options, 'MODEL.HEAD_DROPOUT', 0.0,
                                  'TRAIN.RESUME_IF_EXISTS', True, 'TRAIN.MAX_STEPS', steps,
                                  'TRAIN.CHANNELS_LAST', channels_last))
            before = trainer.regressor.backbone.layer1[0].conv1.weight.detach().clone()
            trainer.fit()
        weight = trainer.regressor.backbone.layer1[0].conv1.weight.detach()
        assert weight.is_contiguous() != layouts[1]
        ways.append(weight - before)
    # Batch normalization enlarges rounding; weights in the wrong order go another way altogether.
    assert (ways[1] - ways[0]).norm() < 0.2 * ways[0].norm()


def test_a_resumed_run_that_stops_at_once_keeps_half_a_step(tiny_assets, tmp_path):
    """The gradients of an incomplete step are in its checkpoint, and in one that is saved before the next batch."""
    options = ('SOLVER.ACCUMULATE', 2, 'TRAIN.RESUME_IF_EXISTS', True, 'TRAIN.MAX_STEPS', 3)
    Trainer(hmr(tiny_assets, tmp_path, *options)).fit()
    saved = load_torch(tmp_path / 'run/checkpoints/latest.pt')['pending']
    trainer = Trainer(hmr(tiny_assets, tmp_path, *options))
    trainer.accelerator.sync_gradients = True  # as in a new process
    resumed = trainer.state.state_dict()['pending']
    assert saved['batches'] == resumed['batches'] == 1 and saved['gradients']
    assert all(torch.equal(saved['gradients'][name], resumed['gradients'][name]) for name in saved['gradients'])
