"""Two processes on one machine: gradients, shares of the data, fits, evaluation, launchers, restart after a death."""
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import to_text
from core.config.training_options import LAUNCH_FLAGS
from core.training.launch import launch_command
from core.training.setup import batch_size_of_each
from tests import distributed_worker as worker
from tests.conftest import ROOT
from tests.test_danet import training_config as danet_config
from tests.test_training import tiny_config
from tests.tiny_data import write_tiny_dataset
from utils.errors import BadConfig
from utils.torch_io import load_torch

TORCHRUN = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def environment(**extra):
    """Of a child without GPUs, one thread a process."""
    kept = {key: value for key, value in os.environ.items() if key not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')}
    return {**kept, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), **extra}


def run(command, timeout=240, **extra):
    done = subprocess.run(command, cwd=ROOT, env=environment(**extra), capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr[-9000:]
    return done


@pytest.fixture(scope='module')
def assets(standin_assets):
    # One process meets more people without a body than the other.
    write_tiny_dataset(standin_assets, 'tiny', 'train', with_body=[True] * 5 + [False] * 7)
    write_tiny_dataset(standin_assets, 'tiny', 'val', count=7, seed=1)
    return standin_assets


def config(assets, folder, *overrides, **options):
    return tiny_config(assets, folder, 'MODEL.HEAD_DROPOUT', 0.0, 'TEST.BATCH_SIZE', 2, 'TRAIN.SYNC_BATCHNORM', True,
                       *overrides, **options)


def write_config(cfg, path):
    path.write_text(to_text(cfg))
    return str(path)


@pytest.fixture(scope='module')
def two(assets, tmp_path_factory):
    """Results of both processes."""
    folder = tmp_path_factory.mktemp('two')
    file = write_config(config(assets, folder), folder / 'config.yaml')
    run([*TORCHRUN, '-m', 'tests.distributed_worker', file, str(assets), str(folder)])
    return [torch.load(folder / f'rank{rank}.pt', weights_only=False) for rank in (0, 1)]


@pytest.fixture(scope='module')
def alone(assets, tmp_path_factory):
    """(errors, gradients) of one process with the joined batch."""
    cfg = config(assets, tmp_path_factory.mktemp('alone'), 'TRAIN.BATCH_SIZE', 8)
    regressor = worker.seeded_regressor(cfg)
    return worker.evaluated(cfg, regressor), worker.first_gradients(cfg, regressor)


def relative_error(found, wanted):
    """Largest difference of two dicts of tensors over the largest value."""
    largest = max(value.abs().max() for value in wanted.values())
    return float(max((found[name] - wanted[name]).abs().max() for name in wanted) / largest)


def test_totals_and_lists(two):
    assert [float(results['total']) for results in two] == [3, 3]
    assert [results['gathered'] for results in two] == [[0, 1], [0, 1]]


def test_batch_normalization_over_both_processes_is_that_of_the_joined_batch(two):
    wanted = worker.normalized_gradients(slice(None))
    for results in two:
        for name, value in results['normalized'].items():
            assert torch.allclose(value, wanted[name], rtol=1e-6, atol=1e-9), name


def test_two_processes_give_the_gradients_of_one_with_the_joined_batch(two, alone):
    first, second = (results['gradients'] for results in two)
    assert alone[1] and first.keys() == alone[1].keys()
    assert relative_error(first, second) == 0
    assert relative_error(first, alone[1]) < 1e-6


def test_evaluation_is_shared_out_and_every_process_gets_the_whole(two, alone):
    first, second = (results['errors'] for results in two)
    for name, errors in alone[0].items():
        assert errors.shape[0] == 7
        assert torch.allclose(first[name], errors, rtol=1e-5), name
        assert torch.equal(first[name], second[name])


def test_eval_in_two_processes_prints_the_table_of_one(assets, scripts, tmp_path):
    cfg = config(assets, tmp_path, 'TRAIN.NUM_EPOCHS', 1, 'TRAIN.MAX_STEPS', 1, regressor='hmr')
    status, _, errors = scripts.run(train_command(cfg, tmp_path), tmp_path)
    assert status == 0, errors[-3000:]
    command = ['eval.py', '--checkpoint', str(tmp_path / 'run/checkpoints/best.pt'), '--dataset', 'tiny']
    tables = [tmp_path / 'one.csv', tmp_path / 'two.csv']
    status, alone, errors = scripts.run([*command, '--report', str(tables[0])], tmp_path)
    assert status == 0, errors[-3000:]
    both = run([*TORCHRUN, *command, '--report', str(tables[1])]).stdout
    assert both.count('PA-MPJPE') == alone.count('PA-MPJPE') > 0
    numbers = [np.genfromtxt(table, delimiter=',', skip_header=1) for table in tables]
    assert np.isfinite(numbers[0]).sum() > 3 and np.allclose(*numbers, rtol=1e-4, equal_nan=True)
    refused = subprocess.run([*TORCHRUN, *command, '--result', str(tmp_path / 'out.npz')], cwd=ROOT, env=environment(),
                             capture_output=True, text=True, timeout=240)
    assert refused.returncode and 'TEST.RESULT_FILE needs one process' in refused.stderr


def test_a_row_that_stood_in_for_another_counts_once(two):
    for results in two:
        errors, groups = results['stand_in']
        assert errors['mpjpe'][:, 0].tolist() == [0, 1, 2, 4, 5, 6]
        assert groups == [f'group {row}' for row in (0, 1, 2, 4, 5, 6)]


def test_a_process_without_a_share_waits_for_the_others(two):
    for results in two:
        errors, groups = results['one']
        assert errors['mpjpe'].tolist() == [[1, 1]] and groups == ['group']


def test_the_better_fit_of_a_picture_owns_it_in_every_store(two):
    stores = [results['fits'] for results in two]
    assert np.array_equal(*stores)
    assert stores[0][1:].tolist() == [5, 2, 7]


def launch_options(**given):
    return {**{name: default for name, _, default in LAUNCH_FLAGS}, **given}


def test_published_flags_become_a_launch():
    argv = ['--regressor', 'hmr', '--distributed', '--world_size', '2', '--rank=1', '--batch_size', '8', '--resume']
    options = launch_options(world_size='2', rank='1', dist_url='tcp://10.0.0.1:99')
    command = launch_command(options, 'train.py', argv, 4)
    text = ' '.join(command)
    assert '--nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint 10.0.0.1:99 --rdzv-conf is_host=0' in text
    assert text.endswith('--max-restarts 3 train.py --regressor hmr --batch_size 8 --resume')
    restarting = ' '.join(launch_command(options, 'train.py', [*argv[:-1], '--resume_if_exists'], 4))
    assert restarting.endswith('--max-restarts 3 train.py --regressor hmr --batch_size 8 --resume_if_exists')
    assert '--max-restarts' not in launch_command(launch_options(), 'train.py', [], 0)
    with pytest.raises(BadConfig, match='--dist_url'):
        launch_command(launch_options(dist_url='tcp://host:port'), 'train.py', [], 0)


def train_command(cfg, folder, *flags):
    return ['train.py', '--cfg_file', write_config(cfg, folder / 'given.yaml'), *flags]


def final_weights(folder):
    return load_torch(folder / 'run' / 'checkpoints' / 'latest.pt')


def assert_same_run(one, other):
    assert one['global_step'] == other['global_step']
    for name, value in one['model'].items():
        assert torch.equal(value, other['model'][name]), name


def test_a_batch_that_cannot_be_shared_out_equally(assets, tmp_path):
    with pytest.raises(BadConfig, match='TRAIN.BATCH_SIZE is 5, which 2 processes'):
        batch_size_of_each(config(assets, tmp_path, 'TRAIN.BATCH_SIZE', 5), 2)
    assert batch_size_of_each(config(assets, tmp_path, 'TRAIN.BATCH_SIZE', 6), 2) == 3


@pytest.fixture(scope='module')
def uninterrupted(assets, tmp_path_factory):
    """Last checkpoint of a run by `accelerate launch` in two processes."""
    folder = tmp_path_factory.mktemp('uninterrupted')
    cfg = config(assets, folder, 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 3)
    run([sys.executable, '-m', 'accelerate.commands.launch', '--multi_gpu', '--num_processes', '2',
         '--num_machines', '1', '--mixed_precision', 'no', '--dynamo_backend', 'no', '--main_process_port', free_port(),
         *train_command(cfg, folder)])
    return final_weights(folder)


def test_one_process_goes_on_where_two_stopped(assets, scripts, tmp_path):
    """DaNet, whose first stage leaves half of its weights without gradients; stopped within the second epoch."""
    write_tiny_dataset(assets, 'danet', 'train')
    write_tiny_dataset(assets, 'danet', 'val', count=4, seed=1)
    cfg = danet_config(assets, tmp_path, 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 2, 'TRAIN.PRETR_STEP', 2,
                       'TRAIN.CHECKPOINT_STEPS', 4, 'TRAIN.KEEP_CHECKPOINTS', 10)
    command = train_command(cfg, tmp_path)
    run([*TORCHRUN, *command])
    checkpoints = tmp_path / 'run' / 'checkpoints'
    for later in ('step_00000006.pt', 'latest.pt', 'best.pt'):
        (checkpoints / later).unlink()
    status, _, errors = scripts.run([*command, '--resume', '--batch_size', '2'], tmp_path)
    assert status == 0 and 'epoch 1, step 4' in errors, errors[-3000:]
    # Four of the epoch's twelve people had been seen, two by each process: four batches of two are left.
    assert load_torch(checkpoints / 'step_00000004.pt')['samples_done'] == 2
    assert final_weights(tmp_path)['global_step'] == 8


@pytest.mark.slow
def test_published_flags_join_two_machines(uninterrupted, assets, tmp_path):
    cfg = config(assets, tmp_path, 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 3)
    command = [sys.executable, *train_command(cfg, tmp_path), '--distributed', '--world_size', '2', '--dist_url',
               f'tcp://127.0.0.1:{free_port()}', '--dist_backend', 'gloo']
    machines = [subprocess.Popen([*command, '--rank', str(rank)], cwd=ROOT, env=environment()) for rank in (0, 1)]
    assert [machine.wait(240) for machine in machines] == [0, 0]
    assert_same_run(final_weights(tmp_path), uninterrupted)


@pytest.mark.slow
def test_a_killed_process_starts_again_from_the_last_checkpoint(uninterrupted, assets, tmp_path):
    cfg = config(assets, tmp_path, 'TRAIN.BATCH_SIZE', 4, 'TRAIN.NUM_EPOCHS', 3, 'TRAIN.CHECKPOINT_STEPS', 1)
    command = [*TORCHRUN, '--max-restarts', '1', *train_command(cfg, tmp_path, '--resume_if_exists')]
    launcher = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    folder = tmp_path / 'run' / 'checkpoints'
    wait_for(lambda: (folder / 'step_00000002.pt').exists())
    workers = Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children').read_text().split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    messages = launcher.communicate(timeout=300)[1]
    assert launcher.returncode == 0, messages[-3000:]
    assert 'resumed from' in messages
    assert_same_run(final_weights(tmp_path), uninterrupted)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(.05)
