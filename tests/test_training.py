"""The training loop on a tiny dataset: its files, checkpoints that are read bit for bit, and exact resuming."""
import shutil

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from core.config import load_config
from core.training.checkpoint import CheckpointStore
from core.training.supervision import stage_losses
from core.training.trainer import Trainer
from models import build_regressor
from models.output import Stage
from models.weights import load_weights
from utils.errors import BadFile, MissingFile, ProjectError, WrongBody
from utils.torch_io import load_torch, save_torch

pytestmark = pytest.mark.usefixtures('without_panels')  # `finished_run` draws them, as a module's fixture comes first


def tiny_config(tiny_assets, folder, *overrides, regressor='pymaf_net'):
    return load_config(None, [
        'PATHS.DATA_DIR', str(tiny_assets), 'LOG_DIR', str(folder), 'NAME', 'run', 'DEVICE', 'cpu',
        'MODEL.REGRESSOR', regressor, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '',
        'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 5], 'MODEL.PyMAF.HIDDEN', 32,
        'MODEL.HMR.HIDDEN', 32, 'IUV.SIZE', 16, 'DATA.IMG_RES', 64, 'DATA.MIXTURE', ['tiny:1'],
        'DATA.EVAL_DATASET', 'tiny', 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 2, 'TRAIN.NUM_WORKERS', 0,
        'TRAIN.SUMMARY_STEPS', 1, 'TRAIN.VIS_INTERVAL', 2, *overrides])


@pytest.fixture(scope='module')
def finished_run(tiny_assets, tmp_path_factory):
    """(config, run folder, Evaluation) of a whole run of two epochs."""
    cfg = tiny_config(tiny_assets, tmp_path_factory.mktemp('run'))
    trainer = Trainer(cfg)
    evaluation = trainer.fit()
    return cfg, trainer.folder.path, evaluation


def test_a_run_writes_its_files(finished_run):
    _, folder, evaluation = finished_run
    for name in ('config.yaml', 'evaluation.md', 'held_out.png', 'checkpoints/best.pt', 'checkpoints/latest.pt'):
        assert (folder / name).stat().st_size > 0, name
    assert list((folder / 'tensorboard').iterdir())
    assert evaluation.errors['pa_mpjpe'].shape == (6, 4)
    assert all(torch.isfinite(errors).all() for errors in evaluation.errors.values())
    assert load_config(folder / 'config.yaml').DATA.IMG_RES == 64


def test_hmr_trains_by_the_same_loop(tiny_assets, tmp_path):
    evaluation = Trainer(tiny_config(tiny_assets, tmp_path, 'TRAIN.NUM_EPOCHS', 1, regressor='hmr')).fit()
    assert torch.isfinite(evaluation.errors['mpjpe']).all()


def test_checkpoint_gives_the_same_output_bit_for_bit(finished_run):
    cfg, folder, _ = finished_run
    images = torch.randn(2, 3, 64, 64)
    outputs = []
    for _ in range(2):
        regressor = build_regressor(cfg).eval()
        report = load_weights(regressor, folder / 'checkpoints' / 'latest.pt')
        assert report.source == 'native' and not report.missing and not report.unexpected
        with torch.no_grad():
            outputs.append(regressor(images).final)
    assert torch.equal(outputs[0].rotmat, outputs[1].rotmat)
    saved = load_torch(folder / 'checkpoints' / 'latest.pt')['model']
    assert all(torch.equal(value, saved[name]) for name, value in regressor.state_dict().items())


def test_resuming_in_mid_epoch_equals_an_uninterrupted_run(finished_run, tiny_assets, tmp_path):
    cfg, folder, _ = finished_run
    Trainer(tiny_config(tiny_assets, tmp_path, 'TRAIN.MAX_STEPS', 2)).fit()
    Trainer(tiny_config(tiny_assets, tmp_path, 'TRAIN.RESUME', True)).fit()
    whole, resumed = (load_torch(path / 'checkpoints' / 'latest.pt') for path in (folder, tmp_path / 'run'))
    for name, value in whole['model'].items():
        assert torch.equal(value, resumed['model'][name]), name
    assert torch.equal(whole['random'][0]['torch'], resumed['random'][0]['torch'])


def test_a_damaged_checkpoint_is_skipped(finished_run, tmp_path, caplog):
    _, folder, _ = finished_run
    store = CheckpointStore(tmp_path)
    source = folder / 'checkpoints' / 'latest.pt'
    shutil.copy(source, tmp_path / 'step_00000001.pt')
    content = bytearray(source.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / 'step_00000002.pt').write_bytes(content)
    (tmp_path / 'step_00000003.pt').write_bytes(source.read_bytes()[:1000])
    path, _ = store.newest()
    assert path.name == 'step_00000001.pt'


def test_only_the_newest_checkpoints_stay(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in range(5):
        store.save({'model': {'w': torch.tensor(step)}}, step, best=step == 1)
    assert sorted(path.name for path in tmp_path.glob('*.pt')) == [
        'best.pt', 'latest.pt', 'step_00000003.pt', 'step_00000004.pt']
    assert load_torch(store.best())['model']['w'] == 1


def test_nan_losses_are_skipped_then_stop_the_run(tiny_assets, tmp_path, monkeypatch):
    import core.training.trainer as module
    real, calls = module.all_losses, []

    def sometimes_nan(*args):
        calls.append(1)
        losses = real(*args)
        return {**losses, 'extra': losses['camera_1'] * (float('nan') if len(calls) in bad else 1)}

    monkeypatch.setattr(module, 'all_losses', sometimes_nan)
    bad = {2}
    trainer = Trainer(tiny_config(tiny_assets, tmp_path / 'a'))
    trainer.fit()
    assert trainer.state.progress.skipped_steps == 1 and trainer.state.progress.global_step == 6
    assert all(torch.isfinite(p).all() for p in trainer.regressor.parameters())
    bad, calls[:] = set(range(99)), []
    with pytest.raises(ProjectError, match='bad_batch.json'):
        Trainer(tiny_config(tiny_assets, tmp_path / 'b', 'TRAIN.MAX_BAD_STEPS', 3)).fit()


def test_a_folder_with_a_run_is_not_overwritten(finished_run):
    with pytest.raises(ProjectError, match='--resume'):
        Trainer(finished_run[0])


def test_checkpoint_of_another_architecture(finished_run, tiny_assets, tmp_path):
    _, folder, _ = finished_run
    hmr = build_regressor(tiny_config(tiny_assets, tmp_path, regressor='hmr'))
    with pytest.raises(BadFile, match='a checkpoint of pymaf_net, not of HMR'):
        load_weights(hmr, folder / 'checkpoints' / 'latest.pt')
    with pytest.raises(BadFile, match='a checkpoint of DaNet.*use --regressor danet'):
        load_weights(hmr, {'model': {'img2iuv.x': torch.zeros(1)}})


def test_checkpoint_of_another_body(finished_run, tiny_assets, tmp_path):
    cfg, folder, _ = finished_run
    content = load_torch(folder / 'checkpoints' / 'latest.pt')
    save_torch(tmp_path / 'other.pt', {**content, 'body_digest': '0' * 16})
    with pytest.raises(WrongBody, match='other.pt'):
        load_weights(build_regressor(cfg), tmp_path / 'other.pt')


def test_checkpoint_of_another_width(finished_run, tiny_assets, tmp_path):
    _, folder, _ = finished_run
    wider = build_regressor(tiny_config(tiny_assets, tmp_path, 'MODEL.PyMAF.HIDDEN', 48))
    with pytest.raises(BadFile, match='has shape'):
        load_weights(wider, folder / 'checkpoints' / 'latest.pt')


def test_ema_and_accumulation(tiny_assets, tmp_path):
    trainer = Trainer(tiny_config(tiny_assets, tmp_path, 'TRAIN.EMA', 0.5, 'SOLVER.ACCUMULATE', 2,
                                  'SOLVER.GRAD_CLIP', 1.0, 'TRAIN.MIXED_PRECISION', 'bf16', 'TRAIN.NUM_EPOCHS', 1))
    trainer.fit()
    content = load_torch(trainer.folder.store.best())
    assert int(content['ema_count']) == 1  # three batches, two a step: the third makes no step
    assert content['model'].keys() == content['training_model'].keys()


def test_missing_pretrained_file_names_file_and_key(tiny_assets, tmp_path, monkeypatch):
    monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')
    cfg = tiny_config(tiny_assets, tmp_path, 'MODEL.BACKBONE.PRETRAINED', 'imagenet')
    with pytest.raises(MissingFile, match=r'resnet18.*MODEL\.BACKBONE\.PRETRAINED'):
        Trainer(cfg)


def test_pretrained_backbone_is_loaded_from_the_asset_folder(tiny_assets, tmp_path):
    cfg = tiny_config(tiny_assets, tmp_path, 'MODEL.BACKBONE.PRETRAINED', 'imagenet')
    state = build_regressor(cfg).backbone.state_dict()
    filled = {name: torch.full_like(value, 0.25) for name, value in state.items()}
    folder = tiny_assets / 'pretrained_model'
    folder.mkdir(exist_ok=True)
    try:
        torch.save({**filled, 'fc.weight': torch.zeros(1000, 512)}, folder / 'resnet18-5c106cde.pth')
        trainer = Trainer(cfg)
        assert (trainer.regressor.backbone.conv1.weight == 0.25).all()
    finally:
        shutil.rmtree(folder)


def test_backbone_of_another_run_is_a_start(finished_run, tiny_assets, tmp_path):
    best = next((finished_run[1] / 'checkpoints').glob('best.pt'))
    trainer = Trainer(tiny_config(tiny_assets, tmp_path, 'MODEL.BACKBONE.PRETRAINED', str(best), regressor='hmr'))
    wanted = load_torch(best)['model']['backbone.conv1.weight']
    assert torch.equal(trainer.regressor.backbone.conv1.weight, wanted)


@pytest.mark.parametrize('fits', [False, True])
@pytest.mark.parametrize('regressor', ['hmr', 'pymaf_net', 'danet'])
def test_losses_of_every_supervised_stage_reach_its_pose_and_shape(tiny_assets, tmp_path, regressor, fits):
    cfg = tiny_config(tiny_assets, tmp_path, 'SMPLIFY.RUN', fits, 'SMPLIFY.NUM_ITERS', 2, 'DATA.IGNORE_3D', fits,
                      'MODEL.DANET.DECONV_FILTERS', [16, 16, 16], 'MODEL.DANET.CROP_SIZE', 8, regressor=regressor)
    trainer = Trainer(cfg)
    batch = next(iter(DataLoader(trainer.train_data, 4)))
    out = trainer.network.train()(batch['img'])
    targets = trainer.supervisor.targets(batch, out)
    for stage in out.stages:
        if stage.supervised:
            losses = stage_losses(stage, targets, cfg)
            for name in ('keypoints_2d', 'keypoints_3d'):
                for value in (stage.rotmat, stage.betas):
                    gradient, = torch.autograd.grad(losses[name] + 0 * value.sum(), value, retain_graph=True)
                    wanted = name == 'keypoints_2d' or not fits  # without 3D labels the loss is 0
                    assert bool(gradient.abs().sum() > 0) == wanted, (name, gradient.shape)


def test_mean_pose_stage_is_not_supervised(finished_run):
    regressor = build_regressor(finished_run[0]).eval()
    with torch.no_grad():
        out = regressor(torch.zeros(1, 3, 64, 64))
    assert [stage.supervised for stage in out.stages] == [False, True, True, True]
    assert np.allclose(out.stages[0].camera.numpy(), [[.9, .02, -.03]])


def test_mean_pose_stage_is_computed_for_one_row(finished_run):
    regressor = build_regressor(finished_run[0]).eval()
    with torch.no_grad():
        mean = regressor(torch.zeros(5, 3, 64, 64)).stages[0]
    plain = Stage(mean.rotmat, mean.betas, mean.camera, mean.body)
    for name in ('vertices', 'joints', 'smpl_joints', 'keypoints_2d'):
        assert torch.allclose(getattr(mean, name), getattr(plain, name), atol=1e-6), name
    landmarks = mean.body.landmarks
    assert torch.allclose(mean.points(landmarks), plain.points(landmarks), atol=1e-6)
    assert mean.vertices.stride(0) == 0 and mean.points(landmarks).stride(0) == 0
    assert torch.equal(mean.select(slice(1, 3)).joints, mean.joints[1:3])


def test_smplify_in_the_loop_supervises_rows_without_ground_truth(tiny_assets, tmp_path):
    cfg = tiny_config(tiny_assets, tmp_path, 'SMPLIFY.RUN', True, 'DATA.IGNORE_3D', True, 'SMPLIFY.NUM_ITERS', 5,
                      'SMPLIFY.THRESHOLD', 1e6, regressor='hmr')
    trainer = Trainer(cfg)
    trainer.fit()
    fits = np.load(trainer.folder.path / 'fits' / 'tiny_fits.npy')
    assert fits.shape == (12, 82) and np.isfinite(fits).all()
    Trainer(tiny_config(tiny_assets, tmp_path, 'SMPLIFY.RUN', True, 'DATA.IGNORE_3D', True, 'SMPLIFY.NUM_ITERS', 5,
                        'TRAIN.RESUME', True, 'TRAIN.NUM_EPOCHS', 3, regressor='hmr')).fit()
