"""Releasing a run's checkpoint, and the default weights of the programs."""
import shlex

import numpy as np
import pytest
import safetensors
import torch

from core.config import load_config, load_stored_config, to_text
from core.config.training_options import parse_training_options
from core.evaluation.options import parse_pose_options
from core.export.release import main, release
from core.pretrained import DEFAULT_NAME, PRETRAINED, default_checkpoint
from core.training.trainer import Trainer
from core.weights import load_checkpoint
from models import build_regressor
from models.weights import checkpoint_regressor, load_weights
from utils.errors import BadFile, MissingFile
from utils.torch_io import save_torch


@pytest.fixture(scope='module')
def run_checkpoint(free_assets, tmp_path_factory):
    """(cfg, path) of a checkpoint of a narrow PyMAF, whose config has paths of a machine."""
    folder = tmp_path_factory.mktemp('run')
    cfg = load_config('free/pymaf.yaml', [
        'PATHS.DATA_DIR', str(free_assets), 'DEVICE', 'cpu', 'DATA.STREAM.PHOTOS', str(folder), 'LOG_DIR', str(folder),
        'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.BACKBONE.PRETRAINED', '', 'MODEL.PyMAF.HIDDEN', 32,
        'MODEL.PyMAF.DECONV_FILTERS', [16, 16, 16], 'MODEL.PyMAF.MLP_DIM', [16, 8, 8, 4]])
    torch.manual_seed(0)
    regressor = build_regressor(cfg).eval()
    path = folder / 'step_00000001.pt'
    save_torch(path, {'model': regressor.state_dict(), 'regressor': 'pymaf_net', 'regressor_class': 'PyMAF',
                      'config': to_text(cfg), 'body_digest': regressor.body.digest, 'optimizer': {'state': {}}})
    return cfg, path


def test_the_file_has_half_precision_texts_and_no_path(run_checkpoint, tmp_path):
    cfg, checkpoint = run_checkpoint
    out = tmp_path / 'free.safetensors'
    gap = release(checkpoint, out)
    with safetensors.safe_open(str(out), 'pt') as file:
        types = {name: file.get_tensor(name).dtype for name in sorted(file.keys())}
        texts = file.metadata()
    assert set(texts) == {'regressor', 'regressor_class', 'config', 'body_digest', 'content_sha256'}
    assert str(checkpoint.parent) not in texts['config'] and str(cfg.PATHS.DATA_DIR) not in texts['config']
    assert all(kind == (torch.float32 if 'running' in name else torch.float16)
               for name, kind in types.items() if 'num_batches' not in name)
    assert out.stat().st_size < 0.6 * checkpoint.stat().st_size
    # Weights are rounded to 11 bits; bodies are 1.7 m tall.
    assert 0 < gap < 10


def test_the_file_rebuilds_the_network(run_checkpoint, tmp_path):
    cfg, checkpoint = run_checkpoint
    out = tmp_path / 'free.safetensors'
    release(checkpoint, out)
    name, text = checkpoint_regressor(out)
    again = load_stored_config(text, out, ['PATHS.DATA_DIR', cfg.PATHS.DATA_DIR])
    assert name == 'pymaf_net' and again.MODEL == cfg.MODEL and again.DATA.STREAM.PHOTOS == ''
    regressor, images = build_regressor(again).eval(), torch.zeros(1, 3, 128, 128)
    load_weights(regressor, checkpoint)
    with torch.no_grad():
        wanted = regressor(images).final.vertices
        load_weights(regressor, out)
        found = regressor(images).final.vertices
    assert np.abs((found - wanted).numpy()).max() < 0.01


def test_weights_of_other_projects_are_not_released(tmp_path):
    path = tmp_path / 'others.pt'
    save_torch(path, {'model': {'conv1.weight': torch.zeros(1)}})
    with pytest.raises(BadFile, match='not a checkpoint of a run of this project'):
        release(path, tmp_path / 'out.safetensors')
    assert not (tmp_path / 'out.safetensors').exists()


def test_the_file_name_must_end_in_safetensors(run_checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(['--checkpoint', str(run_checkpoint[1]), '--out', str(tmp_path / 'out.pt')])
    assert '.safetensors' in capsys.readouterr().err


def test_programs_take_the_weights_of_the_repository_on_the_free_body(run_checkpoint, free_assets, tmp_path,
                                                                      monkeypatch, said):
    monkeypatch.setattr('core.pretrained.PRETRAINED', tmp_path)
    monkeypatch.setattr('core.pretrained.DEFAULT_RUN', tmp_path / 'no_run')
    assert default_checkpoint(str(free_assets)) is None
    release(run_checkpoint[1], tmp_path / 'free_pymaf.safetensors')
    cfg, checkpoint = parse_pose_options(['--dataset', 'free', '--misc', 'PATHS.DATA_DIR', str(free_assets)])
    assert checkpoint == str(tmp_path / 'free_pymaf.safetensors') and cfg.MODEL.PyMAF.HIDDEN == 32
    assert any('which comes with the repository' in line for line in said)
    assert default_checkpoint(str(tmp_path)) is None  # the folder has no free body


@pytest.mark.parametrize('other', [(), ('--regressor', 'hmr'), ('--pretrained_checkpoint', 'none.pt')])
def test_smplify_in_the_loop_on_own_pictures_starts_from_the_free_network(other, free_assets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'pretrained').mkdir()
    (tmp_path / 'pretrained' / 'free_pymaf.safetensors').touch()
    save_torch(tmp_path / 'none.pt', {'model': {'a': torch.zeros(1)}, 'regressor': 'hmr', 'config': ''})
    cfg, _ = parse_training_options(['--run_smplify', *other, '--misc', 'PATHS.DATA_DIR', str(free_assets),
                                     'DATA.MIXTURE', "['mine.npz:1']"])
    takes_it = cfg.TRAIN.PRETRAINED_CHECKPOINT == 'pretrained/free_pymaf.safetensors'
    assert takes_it == (not other) and cfg.SMPLIFY.RUN
    assert cfg.DATA.MIXTURE == ['mine.npz:1']
    assert (cfg.MODEL.BACKBONE.NAME == 'timm/tf_efficientnet_lite0') == takes_it


def test_a_file_of_another_width_names_the_config_that_fits(free_assets):
    """The repository's weights with the config of `make train`. HIDDEN is 512 there and 240 in free/pymaf.yaml."""
    own = str(PRETRAINED / f'{DEFAULT_NAME}.safetensors')
    cfg = load_config('free/pymaf_quick.yaml', ['PATHS.DATA_DIR', str(free_assets), 'MODEL.BACKBONE.PRETRAINED', ''])
    with pytest.raises(BadFile) as caught:
        load_checkpoint(cfg, build_regressor(cfg), own)
    assert str(caught.value).endswith('its MODEL.PyMAF.HIDDEN is 240, not 512; --cfg_file configs/free/pymaf.yaml has '
                                      'its network')


def test_keys_are_named_where_no_file_has_the_network(run_checkpoint):
    cfg, checkpoint = run_checkpoint
    wider = load_config('free/pymaf.yaml', ['PATHS.DATA_DIR', cfg.PATHS.DATA_DIR, 'MODEL.BACKBONE.PRETRAINED', ''])
    with pytest.raises(BadFile) as caught:
        load_checkpoint(wider, build_regressor(wider), checkpoint)
    told = str(caught.value)
    words = shlex.split(told.partition('use --misc ')[2])
    assert 'MODEL.BACKBONE.NAME is resnet18' in told and '\n' not in told
    again = load_config('free/pymaf.yaml', ['PATHS.DATA_DIR', cfg.PATHS.DATA_DIR, *words,
                                            'MODEL.BACKBONE.PRETRAINED', ''])
    load_checkpoint(again, build_regressor(again), checkpoint)  # as the error says


@pytest.mark.parametrize('key', ['TRAIN.PRETRAINED_CHECKPOINT', 'MODEL.BACKBONE.PRETRAINED'])
def test_weights_are_looked_for_before_data(free_assets, tmp_path, key):
    cfg = load_config('free/pymaf_quick.yaml', [
        'PATHS.DATA_DIR', str(free_assets), 'LOG_DIR', str(tmp_path), 'DEVICE', 'cpu', 'DATA.MIXTURE', ['absent:1'],
        key, str(tmp_path / 'bad.pt')])
    with pytest.raises(MissingFile, match='bad.pt'):
        Trainer(cfg)
