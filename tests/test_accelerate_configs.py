"""configs/accelerate: HMR2.0 in two CPU processes by accelerate's config alone, sharded (FSDP) and not (DDP)."""
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import PrecisionType
from accelerate.utils.launch import prepare_multi_gpu_env
from torch.utils.data import DataLoader

from core.config import CONFIG_FOLDER, to_text
from core.training.adversary import Adversary
from core.training.setup import build_accelerator
from core.training.sharding import sharding_plugin
from datasets.build import build_train_dataset
from models import build_regressor
from models.adversary import BodyDiscriminator
from models.targets import Targets
from tests.conftest import ROOT
from tests.test_hmr2 import small
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig
from utils.sharded import filled, hollow_copy
from utils.torch_io import load_torch

DDP, FSDP = (CONFIG_FOLDER / 'accelerate' / f'{name}.yaml' for name in ('ddp', 'fsdp'))


@pytest.fixture(scope='module')
def assets(standin_assets):
    # One process meets more people without a body than the other.
    write_tiny_dataset(standin_assets, 'tiny', 'train', with_body=[True] * 5 + [False] * 7)
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=7, seed=1)
    return standin_assets


def launched(monkeypatch, file, *flags):
    """Set the variables that accelerate's launcher gives to each process."""
    arguments = launch_command_parser().parse_args(['--config_file', str(file), *flags, 'train.py'])
    arguments.nondefault = {word.lstrip('-') for word in flags[::2]}
    arguments, *_ = _validate_launch_command(arguments)
    for name, value in prepare_multi_gpu_env(arguments).items():
        if name.startswith(('ACCELERATE_', 'FSDP_')):
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize('path', [DDP, FSDP], ids=lambda path: path.stem)
def test_accelerate_reads_the_files(path):
    read = load_config_from_file(str(path))
    assert read.distributed_type == {DDP: 'MULTI_GPU', FSDP: 'FSDP'}[path]
    assert PrecisionType(read.mixed_precision) and read.num_processes == 8


def test_the_layers_that_are_gathered_are_those_of_hmr2(assets, tmp_path, monkeypatch):
    launched(monkeypatch, FSDP)
    cfg = small(assets, tmp_path)
    plugin = sharding_plugin(cfg, 'bf16', on_cuda=False)
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward is True
    kinds = [type(module).__name__ for module in build_regressor(cfg).modules()]
    assert [kinds.count(name) for name in plugin.transformer_cls_names_to_wrap] == [12, 2]
    assert plugin.mixed_precision_policy.param_dtype is None


def test_without_fsdp_nothing_is_sharded(assets, tmp_path, monkeypatch):
    launched(monkeypatch, DDP)
    assert sharding_plugin(small(assets, tmp_path), 'fp16', on_cuda=True) is None


@pytest.mark.parametrize('flags, overrides, message', [
    (['--fsdp_version', '1', '--fsdp_reshard_after_forward', 'FULL_SHARD'], [], 'only fsdp_version 2'),
    (['--fsdp_offload_params', 'true'], [], 'fsdp_offload_params'),
    (['--fsdp_activation_checkpointing', 'true'], [], 'CHECKPOINT_BLOCKS'),
    (['--mixed_precision', 'fp16'], [], 'does not go with fp16'),
    (['--fsdp_auto_wrap_policy', 'SOME_WRAP'], [], 'SOME_WRAP'),
    ([], ['TRAIN.COMPILE', True], 'TRAIN.COMPILE')])
def test_what_fsdp_cannot_do_ends_in_one_line(assets, tmp_path, monkeypatch, flags, overrides, message):
    launched(monkeypatch, FSDP, *flags)
    precision = os.environ['ACCELERATE_MIXED_PRECISION']
    with pytest.raises(BadConfig, match=message) as caught:
        sharding_plugin(small(assets, tmp_path, *overrides), precision, on_cuda=True)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('launched_with, configured, wanted', [('bf16', 'fp16', 'bf16'), ('no', 'bf16', 'bf16')])
def test_the_launchs_precision_goes_before_the_recipes(assets, tmp_path, monkeypatch, launched_with, configured,
                                                       wanted):
    launched(monkeypatch, DDP, '--mixed_precision', launched_with)
    assert build_accelerator(small(assets, tmp_path, 'TRAIN.MIXED_PRECISION', configured)).mixed_precision == wanted


def test_a_hollow_copy_takes_no_weights_and_computes_when_filled(assets, tmp_path):
    network = build_regressor(small(assets, tmp_path)).eval()
    hollow, images = hollow_copy(network), torch.randn(2, 3, 64, 64)
    assert all(parameter.is_meta for parameter in hollow.parameters())
    with torch.no_grad():
        assert torch.equal(filled(hollow, network.state_dict()).eval()(images).final.vertices,
                           network(images).final.vertices)
    assert all(parameter.is_meta for parameter in hollow.parameters())


def test_processes_share_out_the_real_bodies_of_one(assets, tmp_path):
    samples = np.arange(100 * 69, dtype=np.float32).reshape(100, 69) / 1e4, np.zeros((100, 10), np.float32)

    def drawn(process, processes, count):
        accelerator = SimpleNamespace(process_index=process, num_processes=processes, device=torch.device('cpu'))
        adversary = Adversary(small(assets, tmp_path), BodyDiscriminator(), samples, accelerator)
        return adversary._real(count, step=3)[0].flatten(1)

    both = torch.stack([drawn(process, 2, 4) for process in (0, 1)], 1).flatten(0, 1)
    assert torch.equal(both, drawn(0, 1, 8)) and len(both.unique(dim=0)) > 5


@pytest.mark.parametrize('of_each, factor', [(False, 2), (True, 1)])
def test_sums_go_over_the_batch_that_two_processes_share_out(assets, tmp_path, monkeypatch, of_each, factor):
    """The mean of two processes' gradients is the sum's only if each counts its own share twice."""
    cfg = small(assets, tmp_path, 'TRAIN.BATCH_PER_PROCESS', of_each)
    network, batch = build_regressor(cfg).eval(), next(iter(DataLoader(build_train_dataset(cfg), 2)))
    out, targets = network(batch['img']), Targets.of_batch(batch, network.body)
    alone = network.auxiliary_losses(out, targets)
    monkeypatch.setattr('models.hmr2.world_size', lambda: 2)
    for name, loss in network.auxiliary_losses(out, targets).items():
        assert torch.isclose(loss, factor * alone[name]) and loss > 0, name


# Two processes

UPDATES = ('step_00000002.pt', 'step_00000004.pt')  # the second batch of a step and of the next
CUT = 'step_00000001.pt'  # within an epoch of three batches, and between the two batches of a step


def run_config(assets, folder, *overrides):
    """Everything that FSDP may get wrong: a clipped norm of all shards, an average, a discriminator, rates of layers,
    batches of half a step, recomputed blocks, and validation with four batches in a process and three in the other."""
    np.savez(folder / 'bodies.npz', body_pose=np.random.default_rng(0).normal(0, .3, (200, 69)).astype(np.float32),
             betas=np.random.default_rng(1).normal(0, 1, (200, 10)).astype(np.float32))
    cfg = small(assets, folder, 'TRAIN.MAX_STEPS', 4, 'TRAIN.CHECKPOINT_STEPS', 1, 'TRAIN.KEEP_CHECKPOINTS', 9,
                'TEST.BATCH_SIZE', 1, 'MODEL.HMR2.DROP_PATH', 0.0, 'MODEL.HMR2.LAYER_DECAY', 0.8,
                'MODEL.HMR2.CHECKPOINT_BLOCKS', True, 'SOLVER.GRAD_CLIP', 0.5, 'SOLVER.ACCUMULATE', 2, 'TRAIN.EMA', 0.9,
                'ADVERSARY.WEIGHT', 0.1, 'ADVERSARY.SAMPLES', str(folder / 'bodies.npz'), *overrides)
    (folder / 'given.yaml').write_text(to_text(cfg))
    return cfg


def train(folder, accelerate_config=None, *flags):
    """-> what was written to standard error."""
    launch = () if accelerate_config is None else (
        '-m', 'accelerate.commands.launch', '--config_file', str(accelerate_config), '--num_processes', '2',
        '--mixed_precision', 'no', '--main_process_port', '0')
    kept = {key: value for key, value in os.environ.items() if key not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')}
    done = subprocess.run([sys.executable, *launch, 'train.py', '--cfg_file', str(folder / 'given.yaml'), *flags],
                          cwd=ROOT, env={**kept, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
                          capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stderr


@pytest.fixture(scope='module')
def runs(assets, tmp_path_factory):
    """{launch: (checkpoint folder, standard error)} of one process and of both launches."""
    found = {}
    for name, file in (('one', None), ('ddp', DDP), ('fsdp', FSDP)):
        folder = tmp_path_factory.mktemp(name)
        run_config(assets, folder)
        found[name] = folder / 'run' / 'checkpoints', train(folder, file)
    return found


def continued(runs, assets, folder, accelerate_config):
    """The last checkpoint of a run that goes on from the FSDP run's first one."""
    run_config(assets, folder)
    shutil.copytree(runs['fsdp'][0].parent, folder / 'run')
    for path in (folder / 'run' / 'checkpoints').iterdir():
        if path.name != CUT:
            path.unlink()
    assert 'epoch 0, step 1' in train(folder, accelerate_config, '--resume')
    return load_torch(folder / 'run' / 'checkpoints' / 'latest.pt')


def assert_same_training(one, other, start):
    """Gradients (Adam's first moments) to 1e-5 of the largest, weights to 1e-3 of the way that they went. A gradient
    that is 0 but for rounding, such as that of an attention's key bias, moves a weight by Adam's full step."""
    moments = [[state['exp_avg'] for state in content['optimizer']['state'].values()] for content in (one, other)]
    largest = max(moment.abs().max() for moment in moments[0])
    assert max((a - b).abs().max() for a, b in zip(*moments, strict=True)) < 1e-5 * largest
    for given in (('model', 'model'), ('training_model', 'training_model')):
        a, b, before = (content[name] for content, name in zip((one, other, start), (*given, 'model')))
        assert distance(a, b) < 1e-3 * distance(a, before) > 0
    a, b, before = (content['adversary']['discriminator'] for content in (one, other, start))
    assert distance(a, b) < 1e-3 * distance(a, before) > 0


def distance(one, other):
    return sum((value.double() - other[name].double()).square().sum() for name, value in one.items()) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ddp', 'fsdp'])
def test_two_processes_train_as_one(runs, name):
    (alone, _), (both, said) = runs['one'], runs[name]
    start = load_torch(alone / CUT)
    assert 'pending' in start and not start['optimizer']['state']
    for update in UPDATES:
        assert_same_training(load_torch(alone / update), load_torch(both / update), start)
    assert said.count('FSDP: weights are spread over 2 processes') == (name == 'fsdp')
    validated = [load_torch(folder / UPDATES[1])['best'] for folder in (alone, both)]
    assert np.isfinite(validated).all() and abs(validated[0] / validated[1] - 1) < 1e-4
    assert len(list(both.parent.rglob('events.*'))) == 1  # the first process's tracker alone


@pytest.mark.slow
def test_fsdp_resumes_within_an_epoch_and_a_step_as_if_never_cut(runs, assets, tmp_path):
    whole, resumed = load_torch(runs['fsdp'][0] / 'latest.pt'), continued(runs, assets, tmp_path, FSDP)
    assert resumed['global_step'] == whole['global_step'] == 4
    for name in ('model', 'training_model'):
        assert all(torch.equal(value, resumed[name][key]) for key, value in whole[name].items())


@pytest.mark.slow
def test_one_process_goes_on_from_a_sharded_runs_file(runs, assets, tmp_path):
    resumed = continued(runs, assets, tmp_path, None)
    assert_same_training(load_torch(runs['fsdp'][0] / 'latest.pt'), resumed, load_torch(runs['one'][0] / CUT))


@pytest.mark.slow
def test_a_network_without_the_layers_ends_in_one_line(assets, tmp_path):
    run_config(assets, tmp_path, 'MODEL.BACKBONE.NAME', 'resnet18', 'MODEL.HMR2.LAYER_DECAY', 1.0)
    with pytest.raises(AssertionError, match='names Block, and this network has no such layer'):
        train(tmp_path, FSDP)
