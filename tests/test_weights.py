"""Checkpoints that are read or refused, and ignored entries. test_reference_networks.py compares the numbers."""
import json
from pathlib import Path

import pytest
import torch

from core.config import load_config
from core.evaluation.options import parse_pose_options
from core.evaluation.run import load_regressor
from models import build_regressor, weights
from models.published_families import family_of
from models.weights import checkpoint_regressor, load_weights
from tests.reference.compare import published_weights
from utils.errors import BadFile, WrongBody
from utils.torch_io import load_torch

PUBLISHED_KEYS = Path(__file__).resolve().parents[2] / 'shared' / 'reference' / 'keys'


@pytest.fixture(scope='module')
def hmr(standin_assets):
    return build_regressor(load_config('hmr.yaml', ['PATHS.DATA_DIR', str(standin_assets)])).eval()


def mmhuman3d_file(path):
    """Write mmhuman3d's layout: a state dict of backbone, head and modules that only its training needs."""
    spin = published_weights('spin_hmr', ('init_',))
    state = {('head.' if key.startswith(('fc', 'dec')) else 'backbone.') + key: value for key, value in spin.items()}
    state.update({'body_model_train.betas': torch.zeros(1, 10), 'body_model_test.faces': torch.zeros(3),
                  'disc.fc.weight': torch.zeros(2), 'head.init_pose': torch.zeros(1, 144)})
    torch.save({'meta': {'epoch': 3, 'env': 'text'}, 'state_dict': state}, path)


def test_mmhuman3d_equals_spin(hmr, tmp_path):
    mmhuman3d_file(tmp_path / 'resnet50_spin_pw3d.pth')
    report = load_weights(hmr, tmp_path / 'resnet50_spin_pw3d.pth')
    assert report.source == 'mmhuman3d' and not report.missing and not report.unexpected
    assert sorted(report.ignored) == ['body_model_test.faces', 'body_model_train.betas', 'disc.fc.weight',
                                      'head.init_pose']
    loaded = {name: value.clone() for name, value in hmr.state_dict().items()}
    assert load_weights(hmr, {'model': published_weights('spin_hmr', ('init_',))}).source == 'spin'
    assert all(torch.equal(value, hmr.state_dict()[name]) for name, value in loaded.items())


def test_a_published_file_is_read_once(standin_assets, tmp_path, monkeypatch):
    """One reading gives the regressor's name, config and weights. A changed file is read again."""
    asked = []
    monkeypatch.setattr('models.weights.load_torch', lambda path: asked.append(path) or load_torch(path))
    for name in ('a.pth', 'b.pth'):
        mmhuman3d_file(tmp_path / name)
        cfg, checkpoint = parse_pose_options(['--checkpoint', str(tmp_path / name), '--misc', 'PATHS.DATA_DIR',
                                              str(standin_assets)])
        load_regressor(cfg, checkpoint, 'cpu')
        assert len(asked) == 1 and not weights._kept  # the memory is freed
        asked.clear()
    parse_pose_options(['--checkpoint', checkpoint, '--dataset', '3dpw'])  # a named dataset needs no files here
    mmhuman3d_file(checkpoint)
    load_regressor(cfg, checkpoint, 'cpu')
    assert len(asked) == 2


def test_missing_and_unexpected_entries_are_reported(hmr):
    state = published_weights('spin_hmr', ('init_', 'deccam'))
    report = load_weights(hmr, {'model': {**state, 'something.else': torch.zeros(1)}})
    assert report.missing == ['head.deccam.weight', 'head.deccam.bias'] and report.unexpected == ['something.else']


def test_prefix_of_wrapped_modules_is_dropped(hmr):
    state = {f'module.{key}': value for key, value in published_weights('spin_hmr', ('init_',)).items()}
    report = load_weights(hmr, {'model': state})
    assert report.source == 'spin' and not report.missing


@pytest.mark.parametrize('name, regressor', [('spin_hmr', 'hmr'), ('pymaf_res50', 'pymaf_net'), ('danet', 'danet'),
                                             ('multispin_emb_avg', 'multi_spin'),
                                             ('multispin_emb_conv1d', 'multi_spin')])
def test_architecture_is_recognized(tmp_path, name, regressor):
    keys = published_weights(name, ('stage', 'layer', 'limb', 'features'))
    torch.save({'model': {key: value[:0] if value.dim() else value for key, value in keys.items()}}, tmp_path / 'x.pt')
    assert checkpoint_regressor(tmp_path / 'x.pt') == (regressor, None)


def cliff_like():
    """CLIFF's published layout: a wrapped network without a module for the head."""
    names = ('encoder.conv1.weight', 'encoder.layer1.0.conv1.weight', 'fc1.weight', 'fc2.weight', 'decpose.weight',
             'decshape.weight', 'deccam.weight', 'init_pose')
    return {'model': {f'module.{name}': torch.zeros(1) for name in names}}


def hmr2_like():
    """HMR2.0's published layout: a Lightning file with entries that only training needs."""
    names = ('backbone.patch_embed.proj.weight', 'backbone.blocks.0.attn.qkv.weight', 'smpl_head.decpose.weight',
             'smpl_head.transformer.to_token_embedding.weight', 'smpl.faces', 'discriminator.D_conv1.weight')
    return {'state_dict': {name: torch.zeros(1) for name in names}, 'epoch': 3}


def test_files_of_another_family_are_named(hmr, standin_assets, tmp_path):
    """They are not mistaken for Multi-SPIN's, which has an encoder too."""
    networks = [hmr, build_regressor(load_config('multi_spin.yaml', ['PATHS.DATA_DIR', str(standin_assets)]))]
    for content, regressor, title in ((cliff_like(), 'cliff', 'CLIFF'), (hmr2_like(), 'hmr2', r'HMR 2\.0')):
        torch.save(content, tmp_path / 'x.pt')
        assert checkpoint_regressor(tmp_path / 'x.pt')[0] == regressor
        for network in networks:
            with pytest.raises(BadFile, match=rf'x\.pt: a checkpoint of {title}.*; use --regressor {regressor}'):
                load_weights(network, tmp_path / 'x.pt')


@pytest.mark.skipif(not PUBLISHED_KEYS.exists(), reason='../shared is not here')
@pytest.mark.parametrize('name, source', [
    ('cliff_res50', 'cliff'), ('hmr2', 'hmr2'), ('danet', 'danet'), ('pymaf_res50', 'pymaf'), ('spin_hmr', 'spin'),
    *((f'multispin_emb_{variant}', 'multi_spin') for variant in ('avg', 'mlp', 'conv1d', 'mlp_convnext'))])
def test_published_key_lists_decide_their_family(name, source):
    """Also with any tenth of the entries missing."""
    names = list(json.loads((PUBLISHED_KEYS / f'{name}_keys.json').read_text()))
    assert family_of(names) == source
    assert all(family_of([key for i, key in enumerate(names) if i % 10 != start]) == source for start in range(10))


def test_a_file_of_something_else(hmr, tmp_path):
    torch.save({'model': {'encoderx.weight': torch.zeros(1)}}, tmp_path / 'x.pt')
    with pytest.raises(BadFile, match=r'x\.pt'):
        load_weights(hmr, tmp_path / 'x.pt')
    torch.save([1, 2], tmp_path / 'y.pt')
    with pytest.raises(BadFile, match=r'y\.pt'):
        load_weights(hmr, tmp_path / 'y.pt')


def test_published_weights_on_the_free_body_are_refused(free_assets):
    regressor = build_regressor(load_config('hmr.yaml', ['PATHS.DATA_DIR', str(free_assets)]))
    with pytest.raises(WrongBody, match='belong to the licensed SMPL body'):
        load_weights(regressor, {'model': published_weights('spin_hmr', ('init_',))})
