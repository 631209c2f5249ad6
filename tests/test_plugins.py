"""A regressor and a dataset outside of the project: the scripts train, resume, evaluate and export them."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from core.config import load_config
from core.config.flags import load_plugins
from core.training.supervision import all_losses
from core.training.trainer import Trainer
from models import REGRESSORS, Regressor
from models.output import RegressorOutput, Stage
from tests.conftest import ROOT
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig, BadFile
from utils.plugins import Registry, load_plugin
from utils.torch_io import load_torch

PLUGIN = ROOT / 'tests' / 'plugins' / 'toy_net.py'


@pytest.fixture(scope='module')
def script(scripts, tmp_path_factory):
    """Runs a script -> its standard output, or with `fails`, where it ends in an error, its standard error."""
    folder = tmp_path_factory.mktemp('printed')

    def run(*words, fails=False):
        status, out, errors = scripts.run(words, folder)
        assert bool(status) == fails, errors[-3000:]
        return errors if fails else out
    return run


@pytest.fixture(scope='module')
def train(script, standin_assets, trained_in):
    """Trains the plug-in's network with more flags, among them --name."""
    return lambda *words: script(
        'train.py', '--plugin', PLUGIN, '--regressor', 'toy_net', '--log_dir', trained_in, *words, '--misc',
        'PATHS.DATA_DIR', standin_assets, 'DEVICE', 'cpu', 'MODEL.TOY_NET.WIDTH', 16)


@pytest.fixture(scope='module')
def trained_in(tmp_path_factory):
    return tmp_path_factory.mktemp('logs')


@pytest.fixture(scope='module')
def trained(train, standin_assets, trained_in):
    """(asset folder, log folder) of a run of two epochs, six steps."""
    train('--name', 'whole')
    return standin_assets, trained_in


def checkpoint(logs, name='whole'):
    return logs / name / 'checkpoints' / 'latest.pt'


def test_its_yaml_section_and_flags_are_read(trained):
    content = load_torch(checkpoint(trained[1]))
    assert content['model']['head.weight'].shape == (157, 18)  # WIDTH 16 of the command line, plus the box's centre
    assert content['global_step'] == 6  # two epochs of toy_net.yaml, batch 4 and twelve rows of toy_base.yaml


def test_parameter_groups_have_their_own_rates_and_frozen_parts_stay_out(trained):
    groups = load_torch(checkpoint(trained[1]))['optimizer']['param_groups']
    assert [group['lr'] for group in groups] == [1e-4, 1e-3]
    assert [len(group['params']) for group in groups] == [4, 2]
    assert all(group['decoupled_weight_decay'] for group in groups)  # AdamW's


def test_a_resumed_run_ends_bit_for_bit_like_an_uncut_one(trained, train):
    _, logs = trained
    train('--name', 'cut', *['--misc', 'TRAIN.MAX_STEPS', '2'])
    train('--name', 'cut', '--resume', *['--misc', 'TRAIN.MAX_STEPS', '0'])
    whole, resumed = (load_torch(checkpoint(logs, name))['model'] for name in ('whole', 'cut'))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_the_other_scripts_read_its_checkpoint(trained, script, train):
    assets, logs = trained
    write_tiny_dataset(assets, 'tiny', 'val', count=6, seed=1)
    table = script('eval.py', '--plugin', PLUGIN, '--checkpoint', checkpoint(logs), '--dataset', 'tiny')
    assert 'PA-MPJPE' in table
    assert 'PA-MPJPE' in script('eval.py', '--plugin', PLUGIN, '--checkpoint', checkpoint(logs), '--dataset', 'noise')
    train('--name', 'further', '--pretrained_checkpoint', checkpoint(logs), '--misc', 'TRAIN.MAX_STEPS', '1')


def test_the_demo_gives_it_the_box(trained, script, tmp_path):
    assets, logs = trained
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(tmp_path / 'a.png')
    (tmp_path / 'box.json').write_text('{"bbox": [40, 10, 50, 90]}')
    script('demo.py', '--plugin', PLUGIN, '--checkpoint', checkpoint(logs), '--img', tmp_path / 'a.png', '--bbox',
           tmp_path / 'box.json', '--outfile', tmp_path / 'out', '--misc', 'PATHS.DATA_DIR', assets, 'DEVICE', 'cpu')
    assert (tmp_path / 'out_shape.png').exists()
    pose = np.load(tmp_path / 'out_person0.npz')['pose']
    assert pose.shape == (1, 72) and np.isfinite(pose).all()


def test_it_is_exported_with_its_second_input(trained, script, tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    script('-m', 'core.onnx_export', '--plugin', PLUGIN, '--checkpoint', checkpoint(trained[1]), '--out',
           tmp_path / 'toy.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'toy.onnx')
    assert len(session.get_inputs()) == 2 and session.get_inputs()[1].name == 'center'


def test_without_the_flag_the_error_names_the_regressor(trained, script):
    error = script('eval.py', '--checkpoint', checkpoint(trained[1]), '--dataset', 'tiny', fails=True)
    assert error.count('\n') == 1 and "unknown regressor 'toy_net'" in error and '--plugin FILE' in error


@pytest.mark.parametrize('text, said', [
    ('import nothing_of_that_name', 'cannot be imported'), ('def (:', 'cannot be imported'),
    ("from models import Regressor, register\n@register('hmr')\nclass Mine(Regressor): pass", 'registered twice')])
def test_unusable_plugin_files_are_named(tmp_path, text, said):
    path = tmp_path / f'plugin_{abs(hash(text))}.py'
    path.write_text(text)
    with pytest.raises((BadFile, BadConfig), match=said) as raised:
        load_plugin(path)
    assert '\n' not in str(raised.value)


def test_a_plugin_that_registers_nothing_is_named(tmp_path):
    path = tmp_path / 'my_undecorated_net.py'
    path.write_text('from models import Regressor\nclass MyNet(Regressor): pass')
    with pytest.raises(BadFile, match=r'my_undecorated_net\.py: registers nothing; put @register'):
        load_plugins({'plugin': [str(path)]})


def test_a_file_named_as_another_module(tmp_path):
    path = tmp_path / 'json.py'
    path.write_text('')
    with pytest.raises(BadFile, match='another module'):
        load_plugin(path)


def test_registering_the_same_thing_twice_is_allowed():
    registry = Registry('thing')

    @registry.register('one')
    def one():
        pass
    assert registry.register('one')(one) is one and registry.names() == ('one',) and registry['one'] is one
    with pytest.raises(BadConfig, match="unknown thing 'two'"):
        registry['two']


class Wrong(Regressor):
    """Returns what `returned` makes of B images."""
    def __init__(self, cfg):
        super().__init__(cfg)
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, images):
        return self.returned(len(images))


@pytest.mark.parametrize('returned, said', [
    (lambda self, b: torch.zeros(b, 157), 'MyNet.forward returned Tensor; it must return RegressorOutput'),
    (lambda self, b: [], 'MyNet.forward returned list;'),
    (lambda self, b: RegressorOutput([]), 'stages that are no list of Stage'),
    (lambda self, b: RegressorOutput([torch.zeros(b, 10)]), 'stages that are no list of Stage'),
    (lambda self, b: RegressorOutput([Stage(torch.eye(3).expand(b, 24, 3, 3), torch.zeros(b, 11), torch.zeros(b, 3),
                                            self.body)]), r'betas of shape \[2, 11\].* must be \[B,10\]')])
def test_what_forward_returns_is_checked(standin_assets, tmp_path, monkeypatch, returned, said):
    """In training and in evaluation."""
    write_tiny_dataset(standin_assets, 'tiny', 'train')
    monkeypatch.setitem(REGRESSORS._entries, 'my_net', type('MyNet', (Wrong,), {'returned': returned}))
    cfg = load_config(None, ['MODEL.REGRESSOR', 'my_net', 'PATHS.DATA_DIR', str(standin_assets), 'DATA.MIXTURE',
                             ['tiny:1'], 'DATA.EVAL_DATASET', '', 'LOG_DIR', str(tmp_path), 'NAME', 'run', 'DEVICE',
                             'cpu', 'DATA.IMG_RES', 32, 'TRAIN.BATCH_SIZE', 2, 'TRAIN.NUM_WORKERS', 0,
                             'TEST.BATCH_SIZE', 2])
    trainer = Trainer(cfg)
    for run in (trainer.fit, lambda: trainer.evaluator.evaluate(trainer.regressor, trainer.train_data.datasets[0],
                                                                'tiny', 'cpu')):
        with pytest.raises(BadConfig, match=said) as caught:
            run()
        assert '\n' not in str(caught.value)


@pytest.mark.parametrize('own', [None, torch.zeros(()), {'mine': 0.5}])
def test_own_losses_are_a_dict_of_tensors(own):
    regressor = type('MyNet', (), {'auxiliary_losses': lambda *_: own})()
    with pytest.raises(BadConfig, match=r'MyNet.auxiliary_losses returned .*; it must return a dict') as caught:
        all_losses(regressor, RegressorOutput([]), SimpleNamespace(n_views=1), load_config())
    assert '\n' not in str(caught.value)
